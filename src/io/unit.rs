//! Units of length.

/// Returns the micrometres in one of the unit that a file names; `None` for pixels and what is unknown.
///
/// Knows the symbols of the OME schema (UnitsLength, 2016-06), in which `Mm` is a megametre and `mm` a millimetre, and the
/// words and encodings that other programs use for them.
pub(crate) fn micrometres(unit: &str) -> Option<f64> {
    let unit = plain(unit);
    symbol(&unit).or_else(|| word(&unit.to_lowercase()))
}

/// The unit with one micro sign for all its look-alikes and escapes.
fn plain(unit: &str) -> String {
    let mut unit = unit.trim().trim_matches(['"', '\'']).trim().to_owned();
    // ImageJ escapes the sign; text that was taken for Latin-1 has an A with a circumflex before it.
    for sign in ["\\u00B5", "\\u00b5", "\\u03BC", "\\u03bc", "&#181;", "&micro;", "Âµ", "Î¼", "μ"] {
        unit = unit.replace(sign, "µ");
    }
    for sign in ["\\u00C5", "\\u00c5", "\u{212b}", "A\u{30a}"] {
        unit = unit.replace(sign, "Å");
    }
    unit
}

fn symbol(unit: &str) -> Option<f64> {
    const AU: f64 = 149_597_870_700e6;
    Some(match unit {
        "Ym" => 1e30,
        "Zm" => 1e27,
        "Em" => 1e24,
        "Pm" => 1e21,
        "Tm" => 1e18,
        "Gm" => 1e15,
        "Mm" => 1e12,
        "km" => 1e9,
        "hm" => 1e8,
        "dam" => 1e7,
        "m" => 1e6,
        "dm" => 1e5,
        "cm" => 1e4,
        "mm" => 1e3,
        "µm" | "um" | "µ" | "u" => 1.0,
        "nm" => 1e-3,
        "pm" => 1e-6,
        "fm" => 1e-9,
        "am" => 1e-12,
        "zm" => 1e-15,
        "ym" => 1e-18,
        "Å" => 1e-4,
        "thou" | "mil" => 25.4,
        "li" => 25_400.0 / 12.0,
        "in" | "\\\"" => 25_400.0,
        "ft" => 304_800.0,
        "yd" => 914_400.0,
        "mi" => 1_609_344_000.0,
        "ua" | "au" => AU,
        "ly" => 9.460_730_472_580_8e21,
        "pc" => AU * 648_000.0 / std::f64::consts::PI,
        "pt" => 25_400.0 / 72.0,
        _ => return None,
    })
}

fn word(unit: &str) -> Option<f64> {
    Some(match unit.trim_end_matches('.') {
        "micron" | "microns" | "µm" | "um" | "µms" | "ums" | "mic" | "mcm" | "micro-meter" => 1.0,
        "micrometer" | "micrometers" | "micrometre" | "micrometres" | "mikrometer" => 1.0,
        "nm" | "nanometer" | "nanometers" | "nanometre" | "nanometres" => 1e-3,
        "pm" | "picometer" | "picometers" | "picometre" | "picometres" => 1e-6,
        "å" | "angstrom" | "angstroms" | "ångström" | "angström" => 1e-4,
        "millimeter" | "millimeters" | "millimetre" | "millimetres" => 1e3,
        "cm" | "centimeter" | "centimeters" | "centimetre" | "centimetres" => 1e4,
        "dm" | "decimeter" | "decimeters" | "decimetre" | "decimetres" => 1e5,
        "meter" | "meters" | "metre" | "metres" => 1e6,
        "km" | "kilometer" | "kilometers" | "kilometre" | "kilometres" => 1e9,
        "in" | "inch" | "inches" => 25_400.0,
        "ft" | "foot" | "feet" => 304_800.0,
        "yard" | "yards" => 914_400.0,
        "mile" | "miles" => 1_609_344_000.0,
        "point" | "points" => 25_400.0 / 72.0,
        _ => return None,
    })
}
