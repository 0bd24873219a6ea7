rpc_runtime::flag! {
    static NO_DOCS: bool = false;
}

rpc_runtime::flag! {
    /// An option that is not there.
    static DYNAMICAL: bool = false, dynamically;
}

rpc_runtime::flag! {
    /// A name that no environment has.
    static NAMED: bool = false, name = "Not-Lower";
}

struct Plain;

rpc_runtime::flag! {
    /// A type that no text can be.
    static PLAIN: Plain = Plain;
}

fn main() {}
