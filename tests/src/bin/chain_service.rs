//! One service of the chain in a separate process:
//! `chain_service front --next http://… --listen 127.0.0.1:0`.

use clap::{Parser, ValueEnum};
use rpc_runtime::ServerOptions;
use rpc_runtime::prelude::*;
use rpc_tests::chain::{
    BackClient, BackServer, Counter, FrontServer, MiddleClient, MiddleServer, Passing,
};

#[derive(Parser)]
struct Arguments {
    role: Role,
    /// Address of the next service; may be repeated
    #[arg(long)]
    next: Vec<String>,
    #[command(flatten)]
    server: ServerOptions,
}

#[derive(Clone, Copy, ValueEnum)]
enum Role {
    Front,
    Middle,
    Back,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments { role, next, server } = Arguments::parse();
    match role {
        Role::Front => {
            let front = FrontServer::new(Passing::<MiddleClient>::to(&next)?);
            Server::new("front").options(server).add(front).run().await
        }
        Role::Middle => {
            let middle = MiddleServer::new(Passing::<BackClient>::to(&next)?);
            Server::new("middle")
                .options(server)
                .add(middle)
                .run()
                .await
        }
        Role::Back => {
            let back = BackServer::new(Counter::default());
            Server::new("back").options(server).add(back).run().await
        }
    }
}
