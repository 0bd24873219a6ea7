use rpc_runtime::error::Detail;
use rpc_runtime::prelude::*;

#[derive(Debug, RpcError)]
pub(super) enum TillError {
    #[rpc(code = "failed_precondition")]
    Poor { missing: u64, user: String },
    #[rpc(other)]
    Other(Error),
}

#[rpc_service(package = "pinned.v1")]
pub(super) trait Till {
    async fn typed(&self) -> Result<(), TillError>;
    async fn rich(&self) -> Result<(), TillError>;
    async fn internal(&self) -> Result<(), TillError>;
    async fn relay(&self) -> Result<(), TillError>;
}

pub(super) struct Cash(pub(super) Option<TillClient>);

impl Till for Cash {
    async fn typed(&self) -> Result<(), TillError> {
        Err(TillError::Poor {
            missing: 12,
            user: "ada".to_owned(),
        })
    }

    async fn rich(&self) -> Result<(), TillError> {
        let error = Error::new(Code::ResourceExhausted, "too \"many\" calls")
            .with_reason("TOO_MANY")
            .with_violation("cents", "must not be negative")
            .with_violation("user", "unknown")
            .with_retry_after(std::time::Duration::from_millis(2500))
            .with_detail(Detail::new("shop.v1.Hint", vec![10_u8, 1, 97]))
            .with_metadata("x-left", "3");
        Err(error.into())
    }

    async fn internal(&self) -> Result<(), TillError> {
        Err(Error::new(Code::Internal, "the private table").into())
    }

    async fn relay(&self) -> Result<(), TillError> {
        match &self.0 {
            Some(next) => Ok(next.typed().await?),
            None => Ok(()),
        }
    }
}
