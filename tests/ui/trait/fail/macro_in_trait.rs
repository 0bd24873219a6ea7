use rpc_runtime::{Result, rpc_service};

macro_rules! methods {
    ($($name:ident),*) => { $(async fn $name(&self) -> Result<()>;)* };
}

#[rpc_service]
trait Shop {
    methods!(buy, sell);
}

fn main() {}
