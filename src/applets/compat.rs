//! `NTPBOX_COMPAT`: texts that changed between generations of the originals (decisions.md, "Levels that we match").

/// Which generation's texts are wanted: a base era plus single switches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Compat {
    /// The last of `modern`, `rhel7`, `rhel6` in the list.
    pub era: Era,
    /// Further words of the comma list, as they stand.
    pub switches: Vec<String>,
}

/// A generation of distributions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Era {
    /// The levels of decisions.md.
    #[default]
    Modern,
    /// RHEL 7: chrony 3.5, systemd 219, ntp 4.2.6p5, util-linux 2.23.
    Rhel7,
    /// RHEL 6: ntp 4.2.6p5, util-linux-ng 2.17.
    Rhel6,
}

impl Compat {
    /// Reads the comma list of the environment variable.
    pub fn parse(list: &str) -> Self {
        let mut compat = Self::default();
        for word in list.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            match word {
                "modern" => compat.era = Era::Modern,
                "rhel7" => compat.era = Era::Rhel7,
                "rhel6" => compat.era = Era::Rhel6,
                other => compat.switches.push(other.to_owned()),
            }
        }
        compat
    }

    /// From the environment of the process.
    pub fn from_env(env: &std::collections::BTreeMap<String, String>) -> Self {
        env.get("NTPBOX_COMPAT").map(|list| Self::parse(list)).unwrap_or_default()
    }

    /// Whether a single switch was given.
    pub fn has(&self, switch: &str) -> bool {
        self.switches.iter().any(|s| s == switch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_era_counts_and_switches_add_up() {
        let compat = Compat::parse("rhel7, chrony3,rhel6");
        assert_eq!(compat.era, Era::Rhel6);
        assert!(compat.has("chrony3") && !compat.has("rhel6"));
        assert_eq!(Compat::parse(""), Compat::default());
    }
}
