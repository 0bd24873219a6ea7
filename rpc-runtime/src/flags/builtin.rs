//! The flags of the runtime.

crate::flag! {
    /// Writes a line for each call that the server handles, and for each that its handlers make:
    /// who calls what with which arguments, how it ended, how long it took. Secrets are masked.
    pub static LOG_RPC: bool = false, dynamic;
}
