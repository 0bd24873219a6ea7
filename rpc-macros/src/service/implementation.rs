//! `#[rpc_service]` on an implementation: the lines at which its methods return errors are
//! recorded.
//!
//! An error enum cannot carry the line that made it. Each `return`, each `?` and each last
//! expression of a method is passed through a function of the runtime, which records the line of an
//! error.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::spanned::Spanned;
use syn::visit_mut::{self, VisitMut};
use syn::{
    Block, Expr, ExprAsync, ExprClosure, ImplItem, Item, ItemImpl, ReturnType, Stmt,
    parse_quote_spanned,
};

use crate::errors::Errors;
use crate::options::{OptionSet, ParsedOptions};
use crate::runtime_path::{self, runtime_path};

const IMPLEMENTATION: OptionSet = OptionSet {
    target: "an implementation of a service",
    options: &[runtime_path::OPTION],
};

/// The function for what a method returns.
const RESULT: &str = "located_result";

/// Expands the attribute on an implementation.
pub(super) fn implementation(arguments: TokenStream, mut item: ItemImpl) -> TokenStream {
    let mut errors = Errors::default();
    if let Some(error) = misplaced_automock(&item.self_ty) {
        errors.push(error);
        return errors.to_compile_errors();
    }
    let mut options = ParsedOptions::default();
    options.parse(arguments, &IMPLEMENTATION, &mut errors);
    let runtime = runtime_path(&options, &mut errors);
    if item.trait_.is_none() {
        let message = "`#[rpc_service]` on an `impl` requires that of a service trait: write `impl Trait for Type`";
        errors.push(syn::Error::new(item.impl_token.span, message));
    }
    if errors.is_empty() {
        for method in &mut item.items {
            if let ImplItem::Fn(method) = method
                && method.sig.asyncness.is_some()
                && !matches!(method.sig.output, ReturnType::Default)
            {
                let mut locate = Locate { runtime: &runtime };
                locate.visit_block_mut(&mut method.block);
                locate.last_of(&mut method.block);
            }
        }
    }
    let errors = errors.to_compile_errors();
    quote_spanned!(Span::mixed_site()=> #errors #item)
}

/// Returns the error for a mock that `#[automock]` of the crate `mockall` has generated before this
/// attribute had its turn. It copies the attribute to the mock.
pub(super) fn misplaced_automock(ty: &impl ToTokens) -> Option<syn::Error> {
    let name = ty.to_token_stream().into_iter().last()?.to_string();
    let message = "`#[automock]` belongs below `#[rpc_service]`, which changes the methods: write `#[rpc_service]` in the line above it";
    name.starts_with("Mock")
        .then(|| syn::Error::new(Span::call_site(), message))
}

/// A visitor that passes the results of a method through `located_result`. Closures, `async` blocks
/// and nested items return from elsewhere.
struct Locate<'a> {
    runtime: &'a TokenStream,
}

impl Locate<'_> {
    /// Passes an expression through a function, whose line is that of `span`.
    fn wrap(&self, function: &str, span: Span, value: &mut Expr) {
        // The developer's own span: the line of a call with a generated one is that of the
        // attribute.
        let runtime = self.runtime.clone().into_iter().map(|mut token| {
            token.set_span(span);
            token
        });
        let runtime: TokenStream = runtime.collect();
        let function = Ident::new(function, span);
        let inner = std::mem::replace(value, Expr::Verbatim(TokenStream::new()));
        *value = parse_quote_spanned!(span=> #runtime::__private::#function(#inner));
    }

    /// Wraps the last expression of a block.
    fn last_of(&self, block: &mut Block) {
        if let Some(Stmt::Expr(value, None)) = block.stmts.last_mut() {
            self.last(value);
        }
    }

    /// Wraps an expression that is the result of the method, or the ends of its branches.
    fn last(&self, value: &mut Expr) {
        match value {
            Expr::Block(block) if block.label.is_none() => self.last_of(&mut block.block),
            Expr::Unsafe(block) => self.last_of(&mut block.block),
            Expr::If(branches) => {
                self.last_of(&mut branches.then_branch);
                if let Some((_, other)) = &mut branches.else_branch {
                    self.last(other);
                }
            }
            Expr::Match(branches) => {
                for arm in &mut branches.arms {
                    self.last(&mut arm.body);
                }
            }
            Expr::Group(group) => self.last(&mut group.expr),
            Expr::Paren(paren) => self.last(&mut paren.expr),
            // A success needs no line, and code after an expression without a value is unreachable.
            value if is_ok(value) => {}
            Expr::Return(_) | Expr::Macro(_) | Expr::Loop(_) | Expr::Break(_) => {}
            Expr::Continue(_) => {}
            value => self.wrap(RESULT, value.span(), value),
        }
    }
}

impl VisitMut for Locate<'_> {
    fn visit_expr_mut(&mut self, value: &mut Expr) {
        visit_mut::visit_expr_mut(self, value);
        match value {
            Expr::Try(attempt) => {
                let span = attempt.question_token.span;
                self.wrap("located_attempt", span, &mut attempt.expr);
            }
            Expr::Return(returned) => {
                if let Some(value) = &mut returned.expr
                    && !is_ok(value)
                {
                    self.wrap(RESULT, value.span(), value);
                }
            }
            _ => {}
        }
    }

    fn visit_expr_closure_mut(&mut self, _: &mut ExprClosure) {}

    fn visit_expr_async_mut(&mut self, _: &mut ExprAsync) {}

    fn visit_item_mut(&mut self, _: &mut Item) {}
}

/// Returns whether the expression is `Ok(…)`.
fn is_ok(value: &Expr) -> bool {
    let Expr::Call(call) = value else {
        return false;
    };
    let function = call.func.to_token_stream().into_iter().last();
    function.is_some_and(|last| last.to_string() == "Ok")
}
