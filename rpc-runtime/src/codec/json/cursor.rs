//! The tokens of JSON: white space, strings, numbers, and values to skip.
//!
//! The whole body is checked to be UTF-8 once, so that strings are slices of it. Numbers stay text
//! until the type that is read is known: a number that passes through an `f64` loses digits.

use std::borrow::Cow;

use super::DecodeError;
use super::number::Number;

/// The maximum nesting of arrays and objects within one value, as in serde_json. The writer keeps
/// to it too.
pub(super) const MAX_DEPTH: u8 = 127;

/// The description of a value that is nested more deeply.
pub(super) const TOO_DEEP: &str = "more than 127 levels of arrays and objects";

/// The description of a number that no `f64` holds.
pub(super) const OUT_OF_RANGE: &str = "number out of range";

/// A position in a body, at the start of a value.
#[derive(Debug)]
pub struct Cursor<'b> {
    text: &'b str,
    at: usize,
    depth: u8,
    /// Whether characters that JSON does not allow in strings are read nevertheless.
    is_lenient: bool,
    /// Whether the next `Option` is `Some`, even for `null`. See [`super::read`].
    pub(super) null_is_some: bool,
}

impl<'b> Cursor<'b> {
    /// Starts at the beginning of a body.
    pub(crate) fn new(body: &'b [u8]) -> Result<Self, DecodeError> {
        match std::str::from_utf8(body) {
            Ok(text) => Ok(Self::of_text(text)),
            Err(_) if matches!(body, [0xff, 0xfe, ..] | [0xfe, 0xff, ..]) => {
                Err(DecodeError::not_an_object(body))
            }
            Err(error) => Err(DecodeError::syntax(
                "the message is not valid UTF-8",
                error.valid_up_to(),
            )),
        }
    }

    /// Checks the text of one value inside of this number of arrays and objects.
    pub(super) fn check(text: &'b [u8], levels: u8) -> Result<(), DecodeError> {
        let mut cursor = Self::new(text)?;
        cursor.depth = levels;
        cursor.skip_value()?;
        cursor.end("unexpected data after the value")
    }

    /// Checks that nothing follows. `problem` describes the error if something does.
    pub(super) fn end(&mut self, problem: &str) -> Result<(), DecodeError> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.error_here(problem)),
        }
    }

    /// Reads text with lone surrogates, which become U+FFFD, and with control characters in
    /// strings.
    pub(super) fn lenient(text: &'b str) -> Self {
        Self {
            is_lenient: true,
            ..Self::of_text(text)
        }
    }

    /// Reads the whole text as a number.
    pub(super) fn whole_number(text: &'b str) -> Option<Number<'b>> {
        let mut cursor = Self::of_text(text);
        let number = cursor.number().ok()?;
        cursor.byte().is_none().then_some(number)
    }

    fn of_text(text: &'b str) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
            is_lenient: false,
            null_is_some: false,
        }
    }

    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Moves to a position returned by [`position`](Self::position).
    pub(super) fn rewind(&mut self, position: usize) {
        self.at = position;
    }

    /// Returns the body from a position up to the cursor.
    pub(super) fn since(&self, start: usize) -> &'b str {
        self.text.get(start..self.at).unwrap_or_default()
    }

    /// Returns the byte at the cursor.
    pub(super) fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Skips white space and returns the next byte.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.byte() {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                byte => return byte,
            }
        }
    }

    #[inline]
    pub(super) fn advance(&mut self) {
        self.at += 1;
    }

    /// Moves past `word` if it is next.
    pub(super) fn word(&mut self, word: &str) -> Result<(), DecodeError> {
        if self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(())
        } else {
            Err(self.error_here("expected ident"))
        }
    }

    /// Returns whether the next character has a NUL after it, as in UTF-16 and UTF-32.
    #[inline]
    pub(super) fn is_wide_text(&self) -> bool {
        self.text.as_bytes().get(self.at + 1) == Some(&0)
    }

    /// Returns whether the next value is `null`.
    #[inline]
    pub(crate) fn is_null(&mut self) -> bool {
        self.peek() == Some(b'n') && self.text.as_bytes()[self.at..].starts_with(b"null")
    }

    /// Enters an array or an object.
    pub(super) fn enter(&mut self) -> Result<(), DecodeError> {
        if self.depth >= MAX_DEPTH {
            return Err(self.error_here(TOO_DEEP));
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    /// Leaves an array or an object, at its closing bracket.
    pub(super) fn leave(&mut self, bracket: u8) -> Result<(), DecodeError> {
        match self.peek() {
            Some(byte) if byte == bracket => {
                self.depth -= 1;
                self.at += 1;
                Ok(())
            }
            Some(_) => Err(self.error_here("trailing characters")),
            None => Err(self.error_here("EOF while parsing a list or an object")),
        }
    }

    /// Moves to the next element of an array. Returns `false` at its end.
    pub(super) fn next_element(&mut self, first: bool) -> Result<bool, DecodeError> {
        match self.peek() {
            Some(b']') => Ok(false),
            Some(_) if first => Ok(true),
            Some(b',') => {
                self.at += 1;
                match self.peek() {
                    Some(b']') => Err(self.error_here("trailing comma")),
                    _ => Ok(true),
                }
            }
            Some(_) => Err(self.error_here("expected `,` or `]`")),
            None => Err(self.error_here("EOF while parsing a list")),
        }
    }

    /// Moves to the next name of an object. Returns `false` at its end.
    pub(super) fn next_entry(&mut self, first: bool) -> Result<bool, DecodeError> {
        match self.peek() {
            Some(b'}') => return Ok(false),
            Some(_) if first => {}
            Some(b',') => self.at += 1,
            Some(_) => return Err(self.error_here("expected `,` or `}`")),
            None => return Err(self.error_here("EOF while parsing an object")),
        }
        match self.peek() {
            Some(b'"') => Ok(true),
            Some(b'}') => Err(self.error_here("trailing comma")),
            Some(_) => Err(self.error_here("key must be a string")),
            None => Err(self.error_here("EOF while parsing an object")),
        }
    }

    /// Moves past the colon between a name and its value.
    pub(super) fn colon(&mut self) -> Result<(), DecodeError> {
        match self.peek() {
            Some(b':') => {
                self.at += 1;
                Ok(())
            }
            Some(_) => Err(self.error_here("expected `:`")),
            None => Err(self.error_here("EOF while parsing an object")),
        }
    }

    /// Reads a string. The cursor must be at its opening quote.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Cow<'b, str>, DecodeError> {
        self.at += 1;
        let start = self.at;
        self.skip_plain_text();
        match self.byte() {
            Some(b'"') => {
                let text = self.since(start);
                self.at += 1;
                Ok(Cow::Borrowed(text))
            }
            _ => self.escaped_string(start).map(Cow::Owned),
        }
    }

    /// Moves to the next quote, backslash or control character.
    fn skip_plain_text(&mut self) {
        const ONES: u64 = 0x0101_0101_0101_0101;
        const HIGH: u64 = 0x8080_8080_8080_8080;
        /// Sets the high bit of each byte that is zero. Bits above the lowest one may be wrong.
        const fn zeros(word: u64) -> u64 {
            word.wrapping_sub(ONES) & !word & HIGH
        }
        let mut rest = &self.text.as_bytes()[self.at..];
        // Eight bytes at a time.
        while let Some((chunk, after)) = rest.split_first_chunk::<8>() {
            let word = u64::from_le_bytes(*chunk);
            let quote = zeros(word ^ (ONES * b'"' as u64));
            let backslash = zeros(word ^ (ONES * b'\\' as u64));
            let control = word.wrapping_sub(ONES * 0x20) & !word & HIGH;
            let found = quote | backslash | control;
            if found != 0 {
                self.at += found.trailing_zeros() as usize / 8;
                return;
            }
            self.at += 8;
            rest = after;
        }
        let plain = |b: &&u8| !matches!(**b, b'"' | b'\\' | 0..0x20);
        self.at += rest.iter().take_while(plain).count();
    }

    /// Reads the rest of a string that is not a slice of the body.
    fn escaped_string(&mut self, start: usize) -> Result<String, DecodeError> {
        let mut text = self.since(start).to_owned();
        loop {
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => text.push(self.escape()?),
                Some(control) if self.is_lenient => {
                    text.push(char::from(control));
                    self.at += 1;
                }
                Some(_) => {
                    return Err(self.error_here(
                        "control character (\\u0000-\\u001F) found while parsing a string",
                    ));
                }
                None => return Err(self.error_here("EOF while parsing a string")),
            }
            let plain = self.at;
            self.skip_plain_text();
            text.push_str(self.since(plain));
        }
    }

    /// Reads an escape. The cursor must be at its backslash.
    fn escape(&mut self) -> Result<char, DecodeError> {
        self.at += 1;
        let escaped = match self.byte() {
            Some(letter @ (b'"' | b'\\' | b'/')) => char::from(letter),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            Some(_) => return Err(self.error_here("invalid escape")),
            None => return Err(self.error_here("EOF while parsing a string")),
        };
        self.at += 1;
        Ok(escaped)
    }

    /// Reads one or two `\u` escapes as a character. The cursor must be at the first `u`.
    fn unicode_escape(&mut self) -> Result<char, DecodeError> {
        let unit = self.four_digits()?;
        if let Some(character) = char::from_u32(unit) {
            return Ok(character);
        }
        // A character above U+FFFF is two escapes, the halves of its UTF-16 form.
        let after = self.at;
        if unit < 0xdc00 && self.byte() == Some(b'\\') {
            self.at += 1;
            if self.byte() == Some(b'u') {
                let low = self.four_digits()?;
                if (0xdc00..0xe000).contains(&low)
                    && let Some(character) =
                        char::from_u32(0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00))
                {
                    return Ok(character);
                }
            }
        }
        if self.is_lenient {
            self.at = after;
            return Ok(char::REPLACEMENT_CHARACTER);
        }
        Err(self.error_here("lone surrogate in an escape"))
    }

    /// Reads the hexadecimal digits of an escape. The cursor must be at its `u`.
    fn four_digits(&mut self) -> Result<u32, DecodeError> {
        self.at += 1;
        let digits = self.text.as_bytes().get(self.at..self.at + 4);
        let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let unit = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .ok_or_else(|| self.error_here("invalid escape"))?;
        self.at += 4;
        Ok(unit)
    }

    /// Reads a number. The cursor must be at its sign or its first digit.
    #[inline]
    pub(super) fn number(&mut self) -> Result<Number<'b>, DecodeError> {
        let start = self.at;
        let negative = self.byte() == Some(b'-');
        if negative {
            self.at += 1;
        }
        let mut magnitude = Some(0_u64);
        let first = self.at;
        while let Some(digit @ b'0'..=b'9') = self.byte() {
            magnitude = magnitude
                .and_then(|n| n.checked_mul(10))
                .and_then(|n| n.checked_add(u64::from(digit - b'0')));
            self.at += 1;
        }
        let leading_zero = self.at > first + 1 && self.text.as_bytes()[first] == b'0';
        if self.at == first || leading_zero {
            return Err(self.error_here("invalid number"));
        }
        let mut is_integer = true;
        if self.byte() == Some(b'.') {
            is_integer = false;
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.byte() {
            is_integer = false;
            self.at += 1;
            if let Some(b'+' | b'-') = self.byte() {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(Number {
            text: self.since(start),
            negative,
            magnitude: magnitude.filter(|_| is_integer),
            is_integer,
        })
    }

    /// Moves past one or more digits.
    fn digits(&mut self) -> Result<(), DecodeError> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.byte() {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.error_here("invalid number"));
        }
        Ok(())
    }

    /// Parses a value and discards it. A number may be too large for any type.
    pub(super) fn skip_value(&mut self) -> Result<(), DecodeError> {
        self.skip(&|_| true)
    }

    /// Parses the value of an unknown field and discards it.
    pub(super) fn skip_field(&mut self) -> Result<(), DecodeError> {
        self.skip(&|number| number.as_f64().is_some())
    }

    fn skip(&mut self, accepts: &dyn Fn(&Number<'_>) -> bool) -> Result<(), DecodeError> {
        match self.peek() {
            Some(b'n') => self.word("null"),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'"') => self.string().map(drop),
            Some(b'-' | b'0'..=b'9') => {
                let number = self.number()?;
                if accepts(&number) {
                    Ok(())
                } else {
                    Err(self.error_here(OUT_OF_RANGE))
                }
            }
            Some(b'[') => {
                self.enter()?;
                let mut first = true;
                while self.next_element(first)? {
                    first = false;
                    self.skip(accepts)?;
                }
                self.leave(b']')
            }
            Some(b'{') => {
                self.enter()?;
                let mut first = true;
                while self.next_entry(first)? {
                    first = false;
                    self.string()?;
                    self.colon()?;
                    self.skip(accepts)?;
                }
                self.leave(b'}')
            }
            Some(_) => Err(self.error_here("expected value")),
            None => Err(self.error_here("EOF while parsing a value")),
        }
    }

    #[cold]
    pub(super) fn error_here(&self, text: &str) -> DecodeError {
        DecodeError::syntax(text, self.at)
    }
}
