//! `fibpro fib`: computes the number without any service.

use crate::process::{Ended, fibpro};

fn fib(arguments: &[&str]) -> Ended {
    fibpro(&[&["fib"], arguments].concat())
}

#[test]
fn a01_it_prints_the_number() {
    let first = ["0", "1", "1", "2", "3", "5", "8", "13", "21", "34", "55"];
    for (n, number) in first.iter().enumerate() {
        let ended = fib(&[&n.to_string()]);
        let expected = (Some(0), format!("{number}\n"), String::new());
        assert_eq!((ended.code, ended.stdout, ended.stderr), expected, "{n}");
    }
}

#[test]
fn a02_an_invalid_number_prints_one_line_and_usage() {
    for (text, why) in [
        (
            "4.5",
            "'4.5' is not a number: use decimal digits, such as 10",
        ),
        ("-3", "'-3' is negative: n is 0 or more"),
        (
            "-4.5",
            "'-4.5' is not a number: use decimal digits, such as 10",
        ),
        (
            "ten",
            "'ten' is not a number: use decimal digits, such as 10",
        ),
        ("", "'' is not a number: use decimal digits, such as 10"),
        (
            "18446744073709551616",
            "'18446744073709551616' is too large: n is at most 18446744073709551615",
        ),
    ] {
        let ended = fib(&[text]);
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{text}");
        let lines: Vec<_> = ended
            .stderr
            .lines()
            .filter(|line| !line.is_empty())
            .collect();
        let error = format!("error: {why}");
        let usage = "Usage: fibpro fib [OPTIONS] <N>";
        assert_eq!(
            lines,
            [&error, usage, "For more information, try '--help'."],
            "{text}"
        );
    }
    assert_eq!(fib(&[]).code, Some(2));
}

#[test]
fn a02_verbose_prints_where_it_was_noticed() {
    let ended = fib(&["4.5", "-v"]);
    assert_eq!(ended.code, Some(2));
    assert!(
        ended.stderr.contains("command::fib::run"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("command/fib.rs:"), "{}", ended.stderr);
    let ended = fib(&["-v", "1000"]);
    assert_eq!((ended.code, ended.stdout.len()), (Some(0), 210));
    assert!(
        ended.stderr.starts_with("F(1000) has 209 digits and took "),
        "{}",
        ended.stderr
    );
}

#[test]
fn a03_trace_prints_each_step() {
    let expected = "i = 0, a = 0, b = 1\n\
                    i = 1, a = 1, b = 1\n\
                    i = 2, a = 1, b = 2\n\
                    i = 3, a = 2, b = 3\n\
                    3\n";
    assert_eq!(fib(&["4", "--trace"]).stdout, expected);
    assert_eq!(fib(&["0", "--trace"]).stdout, "0\n");
}

#[test]
fn a05_a_number_has_as_many_digits_as_it_has() {
    for (n, digits) in [
        ("93", 20),
        ("94", 20),
        ("186", 39),
        ("1000", 209),
        ("100000", 20_899),
    ] {
        let ended = fib(&[n]);
        assert_eq!(
            (ended.code, ended.stdout.trim_end().len()),
            (Some(0), digits),
            "{n}"
        );
    }
}
