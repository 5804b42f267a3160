//! `tls-ciphers` and `tls-ciphersuites`: the names that OpenSSL gives to cipher suites, for those that rustls has.
//!
//! As with OpenSSL, names in a list for TLS 1.2 that nobody knows are passed over as long as something is left, while
//! each name of a suite of TLS 1.3 must be known.

use rustls::SupportedCipherSuite;
use rustls::crypto::ring::cipher_suite as suites;

/// A suite of TLS 1.2: OpenSSL's name for it, which is also made of the words that select it.
const TLS12: &[(&str, SupportedCipherSuite)] = &[
    ("ECDHE-ECDSA-AES256-GCM-SHA384", suites::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-ECDSA-CHACHA20-POLY1305", suites::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    ("ECDHE-ECDSA-AES128-GCM-SHA256", suites::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ("ECDHE-RSA-AES256-GCM-SHA384", suites::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    ("ECDHE-RSA-CHACHA20-POLY1305", suites::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
    ("ECDHE-RSA-AES128-GCM-SHA256", suites::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
];

const TLS13: &[(&str, SupportedCipherSuite)] = &[
    ("TLS_AES_256_GCM_SHA384", suites::TLS13_AES_256_GCM_SHA384),
    ("TLS_AES_128_GCM_SHA256", suites::TLS13_AES_128_GCM_SHA256),
    ("TLS_CHACHA20_POLY1305_SHA256", suites::TLS13_CHACHA20_POLY1305_SHA256),
];

/// The suites of TLS 1.3 that a list names, in its order; all for an empty one.
pub(super) fn tls13(list: &str) -> Option<Vec<SupportedCipherSuite>> {
    let names: Vec<&str> = words(list).collect();
    if names.is_empty() {
        return Some(TLS13.iter().map(|(_, suite)| *suite).collect());
    }
    let find = |name: &&str| TLS13.iter().find(|(known, _)| known == name).map(|(_, suite)| *suite);
    names.iter().map(find).collect()
}

/// The suites of TLS 1.2 that a list selects, in its order; all for an empty one.
pub(super) fn tls12(list: &str) -> Option<Vec<SupportedCipherSuite>> {
    let mut selected: Vec<&(&str, SupportedCipherSuite)> = Vec::new();
    let mut banned: Vec<&str> = Vec::new();
    let list = if words(list).next().is_none() { "DEFAULT" } else { list };
    for word in words(list) {
        // Ordering by strength, and levels of it, say nothing about suites that are all strong.
        if word.starts_with('@') {
            continue;
        }
        let (sign, expression) = match word.split_at_checked(1) {
            Some((sign @ ("!" | "-" | "+"), rest)) => (sign, rest),
            _ => ("", word),
        };
        let matches = |suite: &&(&str, SupportedCipherSuite)| selects(expression, suite.0);
        match sign {
            "" => {
                for suite in TLS12.iter().filter(matches) {
                    if !banned.contains(&suite.0) && !selected.iter().any(|s| s.0 == suite.0) {
                        selected.push(suite);
                    }
                }
            }
            "+" => {
                let (moved, kept) = selected.into_iter().partition::<Vec<_>, _>(|s| matches(s));
                selected = kept;
                selected.extend(moved);
            }
            sign => {
                selected.retain(|suite| !matches(suite));
                if sign == "!" {
                    banned.extend(TLS12.iter().filter(matches).map(|suite| suite.0));
                }
            }
        }
    }
    (!selected.is_empty()).then(|| selected.into_iter().map(|(_, suite)| *suite).collect())
}

fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split([':', ',', ' ']).filter(|word| !word.is_empty())
}

/// Whether an expression, a name or words joined by `+`, selects the suite.
fn selects(expression: &str, suite: &str) -> bool {
    if expression == suite {
        return true;
    }
    expression.split('+').all(|word| match word {
        "ALL" | "DEFAULT" | "COMPLEMENTOFALL" if word != "COMPLEMENTOFALL" => true,
        "HIGH" | "ECDHE" | "EECDH" | "kECDHE" | "kEECDH" | "TLSv1.2" | "AEAD" | "FIPS" => true,
        "aRSA" | "RSA" => word == "aRSA" && suite.contains("-RSA-"),
        "aECDSA" | "ECDSA" => suite.contains("-ECDSA-"),
        "AES" => suite.contains("-AES"),
        "AESGCM" | "AES128" | "AES256" | "CHACHA20" => {
            suite.contains(if word == "AESGCM" { "GCM" } else { word })
        }
        "SHA256" | "SHA384" => suite.ends_with(word),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(list: &str) -> Vec<String> {
        let name = |suite: SupportedCipherSuite| {
            TLS12.iter().find(|(_, known)| known.suite() == suite.suite()).unwrap().0.to_owned()
        };
        tls12(list).unwrap_or_default().into_iter().map(name).collect()
    }

    #[test]
    fn lists_select_as_with_openssl() {
        assert_eq!(names("").len(), 6);
        assert_eq!(names("DEFAULT:!MEDIUM").len(), 6);
        assert_eq!(names("HIGH:!aNULL:!MD5@STRENGTH").len(), 6);
        assert_eq!(names("ECDHE-RSA-AES128-GCM-SHA256"), ["ECDHE-RSA-AES128-GCM-SHA256"]);
        assert_eq!(
            names("ECDHE-RSA-AES128-GCM-SHA256:unknown:ECDHE-ECDSA-AES128-GCM-SHA256"),
            ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256"]
        );
        assert_eq!(names("AESGCM+aRSA").len(), 2);
        assert_eq!(names("ALL:!CHACHA20:-ECDSA").len(), 2);
        assert_eq!(names("ALL:+AES256").last().unwrap(), "ECDHE-RSA-AES256-GCM-SHA384");
        for nothing in ["foo", "RC4-SHA", "ALL:!ALL", "AES128-SHA"] {
            assert!(tls12(nothing).is_none(), "{nothing}");
        }
    }

    #[test]
    fn every_suite_of_tls_1_3_must_be_known() {
        assert_eq!(tls13("").unwrap().len(), 3);
        let two = tls13("TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256").unwrap();
        assert_eq!(two[0].suite(), rustls::CipherSuite::TLS13_CHACHA20_POLY1305_SHA256);
        assert_eq!(two.len(), 2);
        assert!(tls13("TLS_AES_128_GCM_SHA256:TLS_AES_128_CCM_SHA256").is_none());
    }
}
