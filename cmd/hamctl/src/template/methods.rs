//! Templates of the field call a method of Go's times, `.ReleasedAt.Format "2006"`.
//! The library has no methods, so the call becomes one of a function.

/// Rewrites `<field>.Format <layout>` to `formatTime <field> <layout>` inside actions.
pub(super) fn as_functions(template: &str) -> String {
    let mut result = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(start) = rest.find("{{") {
        let (text, action) = rest.split_at(start);
        result.push_str(text);
        rest = rewrite_action(action, &mut result);
    }
    result + rest
}

/// Copies one action; what follows it is returned.
fn rewrite_action<'a>(action: &'a str, result: &mut String) -> &'a str {
    let mut rest = action;
    while !rest.is_empty() && !rest.starts_with("}}") {
        let end = word_end(rest);
        let (word, after) = rest.split_at(end);
        match word.strip_suffix(".Format") {
            Some(field) if after.starts_with(char::is_whitespace) => {
                result.push_str("formatTime ");
                result.push_str(if field.is_empty() { "." } else { field });
            }
            _ => result.push_str(word),
        }
        rest = after;
    }
    rest
}

/// The end of the first word, literal or single other character; never 0.
fn word_end(text: &str) -> usize {
    let first = text.chars().next().map_or(0, char::len_utf8);
    if let Some(quote @ ('"' | '`')) = text.chars().next() {
        return literal_end(text, quote);
    }
    let word =
        text.find(|c: char| !(c.is_alphanumeric() || matches!(c, '.' | '$' | '_'))).unwrap_or(text.len());
    word.max(first)
}

fn literal_end(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (index, c) in text.char_indices().skip(1) {
        if c == quote && !is_escaped {
            return index + 1;
        }
        is_escaped = quote == '"' && c == '\\' && !is_escaped;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_method_calls_in_actions_change() {
        let cases = [
            (r#"{{ .ReleasedAt.Format "2006" }}"#, r#"{{ formatTime .ReleasedAt "2006" }}"#),
            (
                r"{{rightPad ($v.CI.End.Format dateFormat) 21}}",
                r"{{rightPad (formatTime $v.CI.End dateFormat) 21}}",
            ),
            (r"{{ .Format dateFormat }}", r"{{ formatTime . dateFormat }}"),
            (
                r#"a.Format b {{ "x.Format y }}" }} c.Format d"#,
                r#"a.Format b {{ "x.Format y }}" }} c.Format d"#,
            ),
            (
                r#"{{ "\" .A.Format x" }}{{ `\` }}{{ .A.Format `x` }}"#,
                r#"{{ "\" .A.Format x" }}{{ `\` }}{{ formatTime .A `x` }}"#,
            ),
            ("{{ .A.Formatted x }}", "{{ .A.Formatted x }}"),
            ("é {{ \"", "é {{ \""),
        ];
        for (given, expected) in cases {
            assert_eq!(as_functions(given), expected);
        }
    }
}
