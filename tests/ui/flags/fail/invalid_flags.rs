rpc_runtime::flag! {
    static NO_DOCS: bool = false;
}

rpc_runtime::flag! {
    /// Has an unknown option.
    static DYNAMICAL: bool = false, dynamically;
}

rpc_runtime::flag! {
    /// Has a name that is not valid in an environment variable.
    static NAMED: bool = false, name = "Not-Lower";
}

struct Plain;

rpc_runtime::flag! {
    /// Has a type that cannot be parsed from text.
    static PLAIN: Plain = Plain;
}

fn main() {}
