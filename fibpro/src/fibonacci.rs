//! Fibonacci numbers of any size, computed so that the work can be stopped.

use dashu_int::UBig;

/// The computation was stopped before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the computation of F(n) was stopped before its end")]
pub struct Stopped;

/// Returns F(n), with F(0) = 0 and F(1) = 1.
///
/// Fast doubling: three multiplications for each binary digit of `n`; the numbers double in length
/// each time. F(n) has about 0.209 n decimal digits.
///
/// # Errors
///
/// [`Stopped`] once `goes_on` returns false. It is called before each doubling. The last doubling
/// is half of the work: about 10 ms of 20 ms for F(1,000,000).
pub fn fibonacci(n: u64, goes_on: impl Fn() -> bool) -> Result<UBig, Stopped> {
    // F(k) and F(k + 1), where k is made of the leading binary digits of n.
    let (mut a, mut b) = (UBig::ZERO, UBig::ONE);
    for shift in (0..u64::BITS - n.leading_zeros()).rev() {
        if !goes_on() {
            return Err(Stopped);
        }
        let is_odd = n >> shift & 1 == 1;
        if shift == 0 {
            // The number after the last one is not needed.
            return Ok(if is_odd { odd(&a, &b) } else { even(&a, &b) });
        }
        let (two, one) = (even(&a, &b), odd(&a, &b));
        (a, b) = if is_odd {
            let next = two + &one;
            (one, next)
        } else {
            (two, one)
        };
    }
    Ok(a)
}

/// F(2k) = F(k) · (2 F(k + 1) − F(k))
fn even(a: &UBig, b: &UBig) -> UBig {
    a * ((b << 1) - a)
}

/// F(2k + 1) = F(k)² + F(k + 1)²
fn odd(a: &UBig, b: &UBig) -> UBig {
    a.sqr() + b.sqr()
}

/// Returns F(n) in decimal digits.
///
/// # Errors
///
/// As [`fibonacci`]; `goes_on` is called before and after the conversion too. The conversion cannot
/// be stopped, and takes longer than the computation: about 30 ms for F(1,000,000), and 2 s for
/// F(20,000,000).
pub fn decimal(n: u64, goes_on: impl Fn() -> bool) -> Result<String, Stopped> {
    let number = fibonacci(n, &goes_on)?;
    if !goes_on() {
        return Err(Stopped);
    }
    let digits = number.to_string();
    if goes_on() { Ok(digits) } else { Err(Stopped) }
}

/// Iterates over the numbers by addition: `(i, F(i), F(i + 1))` for each `i` below `n`.
pub fn iterations(n: u64) -> impl Iterator<Item = (u64, UBig, UBig)> {
    let mut pair = (UBig::ZERO, UBig::ONE);
    (0..n).map(move |i| {
        let next = &pair.0 + &pair.1;
        let (a, b) = std::mem::replace(&mut pair, (UBig::ZERO, UBig::ZERO));
        pair = (b.clone(), next);
        (i, a, b)
    })
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn digits(n: u64) -> String {
        decimal(n, || true).unwrap()
    }

    #[test]
    fn a01_the_first_numbers() {
        let first: Vec<_> = (0..=10).map(digits).collect();
        let expected = ["0", "1", "1", "2", "3", "5", "8", "13", "21", "34", "55"];
        assert_eq!(first, expected);
    }

    #[test]
    fn a05_numbers_have_no_largest_one() {
        assert_eq!(digits(93), "12200160415121876738");
        assert_eq!(digits(94), "19740274219868223167");
        assert_eq!(digits(186), "332825110087067562321196029789634457848");
        assert_eq!(digits(187), "538522340430300790495419781092981030533");
        let f1000 = digits(1000);
        assert_eq!(f1000.len(), 209);
        assert!(f1000.starts_with("43466557686937456435"));
        assert!(f1000.ends_with("76137795166849228875"));
        let f100_000 = digits(100_000);
        assert_eq!(f100_000.len(), 20_899);
        assert!(f100_000.starts_with("25974069347221724166"));
        assert!(f100_000.ends_with("49895374653428746875"));
    }

    #[test]
    fn a06_a_million_has_208988_digits() {
        let number = digits(1_000_000);
        assert_eq!(number.len(), 208_988);
        assert!(number.starts_with("19532821287077577316"));
        assert!(number.ends_with("68996526838242546875"));
    }

    #[test]
    fn doubling_gives_what_adding_gives() {
        for (i, a, _) in iterations(2001) {
            assert_eq!(fibonacci(i, || true).unwrap(), a, "F({i})");
        }
    }

    #[test]
    fn f10_it_stops_when_it_is_told_to() {
        let questions = Cell::new(0);
        let stopped = decimal(1 << 40, || {
            questions.set(questions.get() + 1);
            questions.get() < 4
        });
        assert_eq!((stopped, questions.get()), (Err(Stopped), 4));
        // Once for each of the four binary digits, and twice for the conversion.
        for allowed in 0..6 {
            let left = Cell::new(allowed);
            let goes_on = || left.replace(left.get() - 1) > 0;
            assert_eq!(decimal(10, goes_on), Err(Stopped), "{allowed}");
        }
    }
}
