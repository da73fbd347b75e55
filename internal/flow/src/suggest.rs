//! "Did you mean …?"

use release_core::Name;

const MAX_SUGGESTIONS: usize = 3;
/// Below this similarity (0 to 1) a suggestion confuses more than it helps.
const MIN_SIMILARITY: f64 = 0.75;

/// A sentence about the known names that resemble `name`, or about a few of
/// them when none does; empty when nothing is known.
pub(crate) fn did_you_mean(name: &Name, known: &[Name]) -> String {
    let mut similar: Vec<(f64, &Name)> = known
        .iter()
        .map(|known| (similarity(name, known), known))
        .filter(|(s, _)| *s >= MIN_SIMILARITY)
        .collect();
    similar.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    let similar: Vec<&Name> = similar.into_iter().map(|(_, name)| name).take(MAX_SUGGESTIONS).collect();
    match (similar.is_empty(), known.len()) {
        (_, 0) => String::new(),
        (false, _) => format!("; did you mean {}?", list(&similar)),
        (true, count) if count <= 2 * MAX_SUGGESTIONS => {
            format!("; there is {}", list(&known.iter().collect::<Vec<_>>()))
        }
        (true, _) => String::new(),
    }
}

fn similarity(a: &Name, b: &Name) -> f64 {
    strsim::jaro_winkler(&a.as_str().to_lowercase(), &b.as_str().to_lowercase())
}

fn list(names: &[&Name]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<Name> {
        names.iter().map(|name| Name::new(name).unwrap()).collect()
    }

    #[test]
    fn similar_names_come_first_then_a_short_list_then_nothing() {
        let many: Vec<String> = (0..20).map(|i| format!("svc-{i}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let cases = [
            (
                "paymnets",
                names(&["payments", "payment-api", "web"]),
                "; did you mean 'payments' or 'payment-api'?",
            ),
            ("qa", names(&["dev", "prod"]), "; there is 'dev' or 'prod'"),
            ("Dev", names(&["dev", "prod"]), "; did you mean 'dev'?"),
            ("nonsense", names(&many), ""),
            ("x", names(&[]), ""),
        ];
        for (name, known, expected) in cases {
            assert_eq!(did_you_mean(&Name::new(name).unwrap(), &known), expected, "{name}");
        }
    }
}
