//! Units of length.

/// Micrometres in one of the unit that a file names; `None` for pixels and what is unknown.
pub(crate) fn micrometres(unit: &str) -> Option<f64> {
    // ImageJ escapes the micro sign, and its Greek look-alike is as common.
    let unit =
        unit.trim().trim_matches('"').replace("\\u00B5", "µ").replace("\\u00b5", "µ").replace('μ', "µ");
    Some(match unit.to_lowercase().as_str() {
        "micron" | "microns" | "um" | "µm" | "micrometer" | "micrometers" | "micrometre" | "micrometres" => {
            1.0
        }
        "nm" | "nanometer" | "nanometers" | "nanometre" | "nanometres" => 1e-3,
        "pm" | "picometer" | "picometre" => 1e-6,
        "å" | "angstrom" => 1e-4,
        "mm" | "millimeter" | "millimeters" | "millimetre" | "millimetres" => 1e3,
        "cm" | "centimeter" | "centimeters" | "centimetre" | "centimetres" => 1e4,
        "m" | "meter" | "meters" | "metre" | "metres" => 1e6,
        "in" | "inch" | "inches" => 25_400.0,
        _ => return None,
    })
}
