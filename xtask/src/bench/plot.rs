use std::fmt::Write;

use super::rows::Row;

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 70.0;
const TOP: f64 = 30.0;
const RIGHT: f64 = 90.0;
const BOTTOM: f64 = 40.0;

/// Colours that differ also for those who do not see all of them.
const LINES: [(&str, &str); 3] = [
    ("ours", "#0072b2"),
    ("etcd", "#d55e00"),
    ("floor", "#777777"),
];

/// A drawing of each operation that was measured at more than one size: the cost against the
/// number of leases, both logarithmic.
pub(crate) fn plots(rows: &[Row]) -> Vec<(String, String)> {
    let mut ops: Vec<&str> = rows.iter().map(|row| row.op.as_str()).collect();
    ops.dedup();
    ops.into_iter()
        .filter_map(|op| {
            let rows: Vec<_> = rows.iter().filter(|row| row.op == op).collect();
            let is_plotted = rows.len() > 1 && rows.iter().any(|row| row.peer_ns.is_some());
            is_plotted.then(|| (op.to_owned(), plot(op, &rows)))
        })
        .collect()
}

fn plot(op: &str, rows: &[&Row]) -> String {
    let lines: [Vec<(f64, f64)>; 3] = [
        points(rows, |row| Some(row.ours_ns)),
        points(rows, |row| row.peer_ns),
        points(rows, |row| row.floor_ns),
    ];
    let all = || lines.iter().flatten();
    let (x_min, x_max) = bounds(all().map(|point| point.0));
    let (y_min, y_max) = bounds(all().map(|point| point.1));
    let (y_min, y_max) = (y_min.floor(), y_max.ceil().max(y_min.floor() + 1.0));
    let x = |log: f64| LEFT + (log - x_min) / (x_max - x_min) * (WIDTH - LEFT - RIGHT);
    let y = |log: f64| HEIGHT - BOTTOM - (log - y_min) / (y_max - y_min) * (HEIGHT - TOP - BOTTOM);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"18\" font-size=\"14\">{op}</text>\n"
    );
    for decade in y_min as i32..=y_max as i32 {
        let at = y(f64::from(decade));
        let (end, label) = (WIDTH - RIGHT, power(decade));
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {at:.1}H{end}\" stroke=\"#dddddd\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            LEFT - 6.0,
            at + 4.0
        );
    }
    for (log, _) in &lines[0] {
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{} leases</text>",
            x(*log),
            HEIGHT - BOTTOM + 18.0,
            10_u64.pow(log.round() as u32)
        );
    }
    for ((name, colour), line) in LINES.iter().zip(&lines) {
        let Some(last) = line.last() else { continue };
        let path: Vec<_> = line
            .iter()
            .map(|point| format!("{:.1},{:.1}", x(point.0), y(point.1)))
            .collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" fill=\"{colour}\">{name}</text>",
            path.join(" "),
            x(last.0) + 8.0,
            y(last.1) + 4.0
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn points(rows: &[&Row], value: impl Fn(&Row) -> Option<f64>) -> Vec<(f64, f64)> {
    let values = rows.iter();
    values
        .filter_map(|row| Some(((row.n as f64).log10(), value(row)?.max(1.0).log10())))
        .collect()
}

fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::MAX, f64::MIN), |(least, most), value| {
        (least.min(value), most.max(value))
    })
}

fn power(decade: i32) -> String {
    match decade {
        0..=2 => format!("{} ns", 10_i32.pow(decade as u32)),
        3..=5 => format!("{} µs", 10_i32.pow(decade as u32 - 3)),
        6..=8 => format!("{} ms", 10_i32.pow(decade as u32 - 6)),
        _ => format!("1e{} s", decade - 9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(op: &str, n: u64, peer_ns: Option<f64>) -> Row {
        Row {
            op: op.into(),
            n,
            ours_ns: 20.0,
            peer_ns,
            ratio: None,
            spread: None,
            floor_ns: None,
        }
    }

    #[test]
    fn an_operation_at_several_sizes_is_drawn() {
        let rows = [
            row("renew", 1_000, Some(400.0)),
            row("renew", 10_000, Some(900.0)),
            row("page", 1_000, None),
            row("grant", 1_000, Some(1.0)),
        ];
        let plots = plots(&rows);
        assert_eq!(plots.len(), 1);
        let (op, svg) = &plots[0];
        assert_eq!(op, "renew");
        assert_eq!(svg.matches("<polyline").count(), 2);
        assert!(svg.contains("10000 leases") && svg.contains("100 ns"));
        assert!(!svg.contains("NaN"));
    }
}
