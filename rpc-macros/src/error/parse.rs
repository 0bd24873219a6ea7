//! Tokens → model. Refuses what the model has no room for; rules *between* the variants are in `validate`.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, Data, DeriveInput, Expr, ExprLit, Fields, Lit, Member, Path, Type};

use super::model::{ErrorEnum, Field, Form, Kind, Reason, Variant};
use crate::attributes::{Known, Options, Place, Takes};
use crate::errors::Errors;
use crate::names;

const VARIANT: Place = Place {
    of: "an error's variant",
    options: &[
        Known::with("code", r#"code = "not_found""#, Takes::Word),
        Known::with("reason", r#"reason = "NO_SUCH_USER""#, Takes::Text),
        Known::flag("public"),
        Known::flag("from"),
        Known::flag("other"),
    ],
};

const FIELD: Place = Place {
    of: "an error's field",
    options: &[Known::flag("skip")],
};

/// The sixteen codes of the wire, with the runtime's names for them.
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

/// The enum; `None` when it is none.
pub(super) fn error_enum(input: DeriveInput, errors: &mut Errors) -> Option<ErrorEnum> {
    const NO_ENUM: &str = "callers tell errors apart by their variants: write an `enum`";
    let data = match input.data {
        Data::Enum(data) => data,
        Data::Struct(data) => {
            errors.at(data.struct_token, NO_ENUM);
            return None;
        }
        Data::Union(data) => {
            errors.at(data.union_token, NO_ENUM);
            return None;
        }
    };
    if !input.generics.params.is_empty() {
        errors.at(
            &input.generics,
            "an error is decoded by its name alone: write concrete types instead of parameters",
        );
    }
    let mut mentions_other = false;
    let variants = data.variants.into_iter().filter_map(|mut variant| {
        let options = Options::take(&mut variant.attrs, &VARIANT, errors);
        mentions_other |= options.flag("other").is_some();
        self::variant(variant, &options, errors)
    });
    Some(ErrorEnum {
        ident: input.ident,
        variants: variants.collect(),
        mentions_other,
    })
}

fn variant(variant: syn::Variant, options: &Options, errors: &mut Errors) -> Option<Variant> {
    let form = match &variant.fields {
        Fields::Named(_) => Form::Named,
        Fields::Unnamed(_) => Form::Tuple,
        Fields::Unit => Form::Unit,
    };
    let converts = variant.fields.iter().any(|field| has_from(&field.attrs));
    let fields = fields(variant.fields, errors);
    let ident = variant.ident;
    let kind = match (options.flag("from"), options.flag("other")) {
        (Some(from), Some(_)) => {
            errors.at(from, "a variant is `from` one dependency or for all `other` errors: remove one of the two");
            return None;
        }
        (Some(_), None) => Kind::From {
            reason: reason(options, &ident),
            field: wrapped(&ident, fields, options, errors)?,
        },
        (None, Some(_)) => Kind::Other {
            field: wrapped(&ident, fields, options, errors)?,
            converts,
        },
        (None, None) => Kind::Own {
            code: code(options, &ident, errors)?,
            reason: reason(options, &ident),
            public: options.flag("public").is_some(),
            fields,
        },
    };
    Some(Variant { ident, form, kind })
}

/// Whether another derive, such as `thiserror::Error`, makes a conversion from this field.
fn has_from(attributes: &[Attribute]) -> bool {
    attributes
        .iter()
        .any(|attribute| attribute.path().is_ident("from"))
}

fn fields(fields: Fields, errors: &mut Errors) -> Vec<Field> {
    let fields = fields.into_iter().enumerate().map(|(position, mut field)| {
        let options = Options::take(&mut field.attrs, &FIELD, errors);
        let member = match field.ident {
            Some(ident) => Member::Named(ident),
            None => Member::Unnamed(position.into()),
        };
        let name = match &member {
            Member::Named(ident) => names::plain(ident),
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

/// The one field of a variant that wraps another error, and the options that such a variant does not have.
fn wrapped(
    ident: &Ident,
    mut fields: Vec<Field>,
    options: &Options,
    errors: &mut Errors,
) -> Option<Field> {
    let is_other = options.flag("other").is_some();
    for option in ["code", "public"]
        .into_iter()
        .chain(is_other.then_some("reason"))
    {
        if let Some(option) = options.key(option) {
            errors.at(
                option,
                format_args!("`{option}` is up to the error inside of `{ident}`: remove it"),
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
                    "`{ident}` holds one error and nothing else: write `{ident}({inner})`"
                ),
            );
        }
        Some(Field {
            skip: Some(skip), ..
        }) => {
            errors.at(
                skip,
                format_args!("this field is all that `{ident}` consists of: remove `skip`"),
            );
        }
        Some(Field { ty, .. }) if is_other && !is_error(ty) => {
            errors.at(
                ty,
                "this variant keeps whatever came: write `rpc_runtime::Error`",
            );
        }
        Some(_) => {}
    }
    field
}

/// As far as tokens tell. `Other(String)` is worth a sentence; the rest is for the compiler.
fn is_error(ty: &Type) -> bool {
    matches!(ty, Type::Path(path) if last_of(&path.path) == "Error")
}

fn reason(options: &Options, ident: &Ident) -> Reason {
    match options.text("reason") {
        Some(text) => Reason {
            text: text.value(),
            span: text.span(),
        },
        None => Reason {
            text: names::screaming_snake(&names::plain(ident)),
            span: ident.span(),
        },
    }
}

/// The code as a path, in the developer's words where they are one.
fn code(options: &Options, ident: &Ident, errors: &mut Errors) -> Option<TokenStream> {
    let codes: Vec<&str> = CODES.iter().map(|(code, _)| *code).collect();
    let codes = codes.join(", ");
    let Some(word) = options.word("code") else {
        if options.key("code").is_none() {
            let message =
                format!("say which code callers get: `#[rpc(code = \"…\")]`\ncodes: {codes}");
            errors.at(ident, message);
        }
        return None;
    };
    let (written, path) = match word {
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
            word,
            format_args!("`{written}` is no code{guess}\ncodes: {codes}"),
        );
        return None;
    };
    Some(match path {
        // As written, so that its import counts as used.
        Some(path) => path.to_token_stream(),
        None => {
            let code = Ident::new(code, word.span());
            quote_spanned!(word.span()=> ::rpc_runtime::Code::#code)
        }
    })
}

fn last_of(path: &Path) -> String {
    path.segments
        .last()
        .map(|segment| names::plain(&segment.ident))
        .unwrap_or_default()
}
