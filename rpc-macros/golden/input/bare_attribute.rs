#[rpc_service]
trait UserStore {
    async fn exists(&self, name: &str) -> Result<bool>;
}
