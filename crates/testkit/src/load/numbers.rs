//! Series of measurements, and how they are told.
//!
//! Nothing here judges a number: a bench only shows what it saw.

/// Measurements of one thing.
#[derive(Clone, Debug, Default)]
pub struct Series(Vec<f64>);

impl Series {
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The smallest value that so many percent of all do not exceed.
    pub fn percentile(&self, percent: usize) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let place = (sorted.len() * percent).div_ceil(100).max(1) - 1;
        sorted.get(place).copied().unwrap_or(f64::NAN)
    }
}

/// The head of a table: what is measured, in which unit, and what the columns are.
pub fn head(title: &str, columns: &[&str]) {
    let columns: String = columns.iter().map(|column| format!("{column:>10}")).collect();
    println!("\n{title:<44}{columns}");
    println!("{}", "-".repeat(44 + columns.len()));
}

/// One row: median, least and most.
pub fn row(name: &str, series: &Series) {
    percentiles(name, series, &[50, 0, 100]);
}

/// One row: a column for each percentile.
pub fn percentiles(name: &str, series: &Series, which: &[usize]) {
    let columns: String = which.iter().map(|p| cell(series.percentile(*p))).collect();
    println!("{name:<44}{columns}");
}

/// Three digits that count.
fn cell(value: f64) -> String {
    let decimals = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        _ => 2,
    };
    format!("{value:>10.decimals$}")
}
