//! Names by which types ask for another form of a value, as serde_json's own types do.
//!
//! A type passes such a name to `deserialize_newtype_struct` or `serialize_struct`. The names of
//! serde_json are the same in all versions since 1.0; other JSON crates support them too.

use std::any::type_name;
use std::sync::LazyLock;

/// `serde_json::value::RawValue`: the value as JSON text.
pub(super) const RAW_VALUE: &str = "$serde_json::private::RawValue";

/// `serde_json::Number` with the feature `arbitrary_precision`: the number as text.
pub(super) const NUMBER: &str = "$serde_json::private::Number";

/// [`BigNum`](super::BigNum): a number as text.
pub(super) const DIGITS: &str = "$rpc_runtime::private::Digits";

/// Returns whether a value of type `T` keeps all digits of a number: a `Value` or a `Number` of
/// serde_json, if some crate of the program turns on `arbitrary_precision`.
///
/// The name of a type is compared, because the type of a visitor's value has no `TypeId`. If
/// serde_json renames its types, such numbers become `f64`, as without the feature.
#[inline]
pub(super) fn keeps_digits<T>() -> bool {
    static IS_ENABLED: LazyLock<bool> =
        LazyLock::new(|| serde_json::from_str::<serde_json::Number>("1e400").is_ok());
    matches!(
        type_name::<T>(),
        "serde_json::value::Value" | "serde_json::number::Number"
    ) && *IS_ENABLED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_types_of_serde_json_have_the_compared_names() {
        assert_eq!(type_name::<serde_json::Value>(), "serde_json::value::Value");
        assert_eq!(
            type_name::<serde_json::Number>(),
            "serde_json::number::Number"
        );
    }
}
