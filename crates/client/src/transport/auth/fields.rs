//! Header fields that are lists of things with parameters, such as `Link` (RFC 9110 §5.6).

/// The parts of a field's value between separators; those in quotes and in `<…>` separate nothing.
pub(crate) fn split(value: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_bracketed, mut is_escaped) = (false, false, false);
    let is_end = move |c: char| {
        if is_escaped {
            is_escaped = false;
            return false;
        }
        match c {
            '\\' if is_quoted => is_escaped = true,
            '"' if !is_bracketed => is_quoted = !is_quoted,
            '<' if !is_quoted => is_bracketed = true,
            '>' if !is_quoted => is_bracketed = false,
            _ => return c == separator && !is_quoted && !is_bracketed,
        }
        false
    };
    value.split(is_end).map(str::trim)
}

/// `name="a \"quoted\" text"`, `name=token`; the name in lower case.
pub(crate) fn parameter(text: &str) -> Option<(String, String)> {
    let (name, value) = text.split_once('=')?;
    let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
    let Some(quoted) = value.strip_prefix('"') else { return Some((name, value.to_owned())) };
    let (mut text, mut is_escaped) = (String::new(), false);
    for c in quoted.chars() {
        match c {
            '\\' if !is_escaped => is_escaped = true,
            '"' if !is_escaped => break,
            c => {
                is_escaped = false;
                text.push(c);
            }
        }
    }
    Some((name, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_brackets_keep_what_is_in_them_together() {
        let parts = |value| split(value, ',').collect::<Vec<_>>();
        assert_eq!(parts("a, b ,c"), ["a", "b", "c"]);
        assert_eq!(parts(r#"</x?a=1,2>; rel="p,q", b"#), [r#"</x?a=1,2>; rel="p,q""#, "b"]);
        assert_eq!(parts(r#"a="x \", y", b"#), [r#"a="x \", y""#, "b"]);
        assert_eq!(parts(r#"a="never ends, b"#), [r#"a="never ends, b"#]);
        assert_eq!(parts(""), [""]);
    }

    #[test]
    fn a_parameter_is_a_token_or_quoted() {
        let some = |name: &str, value: &str| Some((name.to_owned(), value.to_owned()));
        assert_eq!(parameter("Rel = next"), some("rel", "next"));
        assert_eq!(parameter(r#"service="a \"b\", c""#), some("service", r#"a "b", c"#));
        assert_eq!(parameter(r#"realm="http://r/?x=1""#), some("realm", "http://r/?x=1"));
        assert_eq!(parameter("no value"), None);
    }
}
