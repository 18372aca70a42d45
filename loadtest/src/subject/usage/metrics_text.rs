//! One sample out of the Prometheus or OpenMetrics text format.

/// The value of the sample that is called `name` and has no labels.
#[must_use]
pub fn sample(text: &str, name: &str) -> Option<f64> {
    text.lines().find_map(|line| {
        let rest = line.strip_prefix(name)?;
        let mut fields = rest.strip_prefix(' ')?.split_ascii_whitespace();
        fields.next()?.parse().ok()
    })
}

/// The values of all samples that are called `name` and have the label `label` (as in `a="b"`),
/// added.
#[must_use]
pub fn labelled(text: &str, name: &str, label: &str) -> f64 {
    let value = |line: &str| {
        let (labels, value) = line
            .strip_prefix(name)?
            .strip_prefix('{')?
            .split_once('}')?;
        let mut labels = labels.split(',');
        labels.find(|found| *found == label)?;
        value.split_ascii_whitespace().next()?.parse::<f64>().ok()
    };
    text.lines().filter_map(value).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# HELP process_cpu_seconds User and system CPU time used.
# TYPE process_cpu_seconds counter
process_cpu_seconds_total 12.5
process_cpu_seconds_total_of_all 99
labelled{a=\"b\"} 3
with_time 4 1700000000
# EOF
";

    #[test]
    fn a_sample_is_found_by_its_whole_name() {
        assert_eq!(sample(TEXT, "process_cpu_seconds_total"), Some(12.5));
        assert_eq!(sample(TEXT, "with_time"), Some(4.0));
        assert_eq!(sample(TEXT, "process_cpu_seconds"), None);
        assert_eq!(sample(TEXT, "labelled"), None);
        assert_eq!(sample(TEXT, "absent"), None);
    }

    #[test]
    fn samples_with_a_label_are_added() {
        let text = "hits{event=\"hit\",of=\"a\"} 3\nhits{event=\"hit\",of=\"b\"} 4\n\
                    hits{event=\"miss\"} 9\nhits 5\nhits_of_all{event=\"hit\"} 1\n";
        assert_eq!(labelled(text, "hits", "event=\"hit\""), 7.0);
        assert_eq!(labelled(text, "hits", "event=\"gone\""), 0.0);
    }
}
