//! Tokens → model. Rejects what the model cannot represent; `validate` checks rules between
//! variants.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, Data, DeriveInput, Expr, ExprLit, Fields, Lit, Member, Path, Type};

use super::model::{ErrorEnum, Field, Reason, Variant, VariantKind, VariantStyle};
use crate::errors::Errors;
use crate::names;
use crate::options::{OptionSet, OptionSpec, ParsedOptions, ValueKind};
use crate::runtime_path::{self, runtime_path};

const ENUM: OptionSet = OptionSet {
    target: "an error",
    options: &[runtime_path::OPTION, OptionSpec::flag("partial_eq")],
};

const VARIANT: OptionSet = OptionSet {
    target: "an error variant",
    options: &[
        OptionSpec::with("code", r#"code = "not_found""#, ValueKind::StrOrPath),
        OptionSpec::with("reason", r#"reason = "NO_SUCH_USER""#, ValueKind::Str),
        OptionSpec::flag("public"),
        OptionSpec::flag("not_executed"),
        OptionSpec::flag("from"),
        OptionSpec::flag("other"),
    ],
};

const FIELD: OptionSet = OptionSet {
    target: "a field of an error",
    options: &[OptionSpec::flag("skip")],
};

/// The sixteen codes: wire name and variant of the runtime's `Code`.
const CODES: [(&str, &str); 16] = [
    ("canceled", "Canceled"),
    ("unknown", "Unknown"),
    ("invalid_argument", "InvalidArgument"),
    ("deadline_exceeded", "DeadlineExceeded"),
    ("not_found", "NotFound"),
    ("already_exists", "AlreadyExists"),
    ("permission_denied", "PermissionDenied"),
    ("resource_exhausted", "ResourceExhausted"),
    ("failed_precondition", "FailedPrecondition"),
    ("aborted", "Aborted"),
    ("out_of_range", "OutOfRange"),
    ("unimplemented", "Unimplemented"),
    ("internal", "Internal"),
    ("unavailable", "Unavailable"),
    ("data_loss", "DataLoss"),
    ("unauthenticated", "Unauthenticated"),
];

/// Returns the enum, or `None` if the item is not an enum.
pub(super) fn error_enum(input: DeriveInput, errors: &mut Errors) -> Option<ErrorEnum> {
    const NOT_AN_ENUM: &str =
        "`RpcError` can be derived for enums only: write an `enum` with a variant for each error";
    let data = match input.data {
        Data::Enum(data) => data,
        Data::Struct(data) => {
            errors.at(data.struct_token, NOT_AN_ENUM);
            return None;
        }
        Data::Union(data) => {
            errors.at(data.union_token, NOT_AN_ENUM);
            return None;
        }
    };
    if !input.generics.params.is_empty() {
        errors.at(
            &input.generics,
            "an error enum cannot be generic: use concrete types",
        );
    }
    let options = ParsedOptions::of(&input.attrs, &ENUM, errors);
    let runtime = runtime_path(&options, errors);
    let mut mentions_other = false;
    let variants = data.variants.into_iter().filter_map(|mut variant| {
        let options = ParsedOptions::take(&mut variant.attrs, &VARIANT, errors);
        mentions_other |= options.flag("other").is_some();
        self::variant(variant, &options, errors)
    });
    Some(ErrorEnum {
        runtime,
        partial_eq: options.flag("partial_eq").is_some(),
        ident: input.ident,
        variants: variants.collect(),
        mentions_other,
    })
}

fn variant(variant: syn::Variant, options: &ParsedOptions, errors: &mut Errors) -> Option<Variant> {
    let style = match &variant.fields {
        Fields::Named(_) => VariantStyle::Struct,
        Fields::Unnamed(_) => VariantStyle::Tuple,
        Fields::Unit => VariantStyle::Unit,
    };
    let converts = variant.fields.iter().any(|field| has_from(&field.attrs));
    let fields = fields(variant.fields, errors);
    let ident = variant.ident;
    let kind = match (options.flag("from"), options.flag("other")) {
        (Some(from), Some(_)) => {
            errors.at(from, "`from` conflicts with `other`: remove one of them");
            return None;
        }
        (Some(_), None) => VariantKind::From {
            reason: reason(options, &ident),
            public: options.flag("public").is_some(),
            field: wrapped(&ident, fields, options, errors)?,
        },
        (None, Some(_)) => VariantKind::Other {
            field: wrapped(&ident, fields, options, errors)?,
            converts,
        },
        (None, None) => VariantKind::Own {
            code: code(options, &ident, errors)?,
            reason: reason(options, &ident),
            public: options.flag("public").is_some(),
            not_executed: options.flag("not_executed").is_some(),
            fields,
        },
    };
    Some(Variant { ident, style, kind })
}

/// Returns whether another derive, such as `thiserror::Error`, generates a conversion from this
/// field.
fn has_from(attributes: &[Attribute]) -> bool {
    attributes
        .iter()
        .any(|attribute| attribute.path().is_ident("from"))
}

fn fields(fields: Fields, errors: &mut Errors) -> Vec<Field> {
    let fields = fields.into_iter().enumerate().map(|(position, mut field)| {
        let options = ParsedOptions::take(&mut field.attrs, &FIELD, errors);
        let member = match field.ident {
            Some(ident) => Member::Named(ident),
            None => Member::Unnamed(position.into()),
        };
        let name = match &member {
            Member::Named(ident) => names::unraw(ident),
            Member::Unnamed(_) => position.to_string(),
        };
        Field {
            member,
            name,
            ty: field.ty,
            skip: options.flag("skip").cloned(),
        }
    });
    fields.collect()
}

/// Returns the only field of a variant that wraps another error. Rejects options that such a
/// variant cannot have.
fn wrapped(
    ident: &Ident,
    mut fields: Vec<Field>,
    options: &ParsedOptions,
    errors: &mut Errors,
) -> Option<Field> {
    let is_other = options.flag("other").is_some();
    let of_other = is_other.then_some(["public", "reason"]);
    let options_of_inner = ["code", "not_executed"].into_iter();
    for option in options_of_inner.chain(of_other.into_iter().flatten()) {
        if let Some(option) = options.key(option) {
            errors.at(
                option,
                format_args!("`{option}` comes from the error inside `{ident}`: remove it"),
            );
        }
    }
    let field = fields.pop().filter(|_| fields.is_empty());
    match &field {
        None => {
            let inner = if is_other {
                "rpc_runtime::Error"
            } else {
                "PricingError"
            };
            errors.at(
                ident,
                format_args!(
                    "`{ident}` must have exactly one field, an error: write `{ident}({inner})`"
                ),
            );
        }
        Some(Field {
            skip: Some(skip), ..
        }) => {
            errors.at(
                skip,
                format_args!("the error inside `{ident}` cannot be skipped: remove `skip`"),
            );
        }
        Some(Field { ty, .. }) if is_other && !is_error(ty) => {
            errors.at(
                ty,
                "the variant `other` holds any error: use the type `rpc_runtime::Error`",
            );
        }
        Some(_) => {}
    }
    field
}

/// Returns whether the type is named `Error`. `Other(String)` gets its own message here; the
/// compiler checks the rest.
fn is_error(ty: &Type) -> bool {
    match ty {
        // A fragment of `macro_rules!`.
        Type::Group(group) => is_error(&group.elem),
        Type::Path(path) => last_of(&path.path) == "Error",
        _ => false,
    }
}

fn reason(options: &ParsedOptions, ident: &Ident) -> Reason {
    match options.str("reason") {
        Some(text) => Reason {
            text: text.value(),
            span: text.span(),
        },
        None => Reason {
            text: names::screaming_snake(&names::unraw(ident)),
            span: ident.span(),
        },
    }
}

/// Returns the path of the code, as written if it is written as a path.
fn code(options: &ParsedOptions, ident: &Ident, errors: &mut Errors) -> Option<TokenStream> {
    let codes: Vec<&str> = CODES.iter().map(|(code, _)| *code).collect();
    let codes = codes.join(", ");
    let Some(value) = options.str_or_path("code") else {
        if options.key("code").is_none() {
            let message = format!("missing code: write `#[rpc(code = \"…\")]`\ncodes: {codes}");
            errors.at(ident, message);
        }
        return None;
    };
    let (written, path) = match value {
        Expr::Lit(ExprLit {
            lit: Lit::Str(text),
            ..
        }) => (text.value(), None),
        Expr::Path(path) => (
            last_of(&path.path),
            (path.path.segments.len() > 1).then_some(path),
        ),
        other => (other.to_token_stream().to_string(), None),
    };
    let Some((_, code)) = CODES
        .iter()
        .find(|(snake, camel)| written == *snake || written == *camel)
    else {
        let guess = names::closest(&written, CODES.iter().map(|(code, _)| *code));
        let guess = guess
            .map(|guess| format!("; did you mean `{guess}`?"))
            .unwrap_or_default();
        errors.at(
            value,
            format_args!("unknown code `{written}`{guess}\ncodes: {codes}"),
        );
        return None;
    };
    Some(match path {
        // Emitted as written, or its import would be reported as unused.
        Some(path) => path.to_token_stream(),
        None => {
            let span = Span::mixed_site().located_at(value.span());
            let code = Ident::new(code, span);
            quote_spanned!(span=> __rpc::Code::#code)
        }
    })
}

fn last_of(path: &Path) -> String {
    path.segments
        .last()
        .map(|segment| names::unraw(&segment.ident))
        .unwrap_or_default()
}
