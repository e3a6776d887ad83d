//! Where Prometheus finds the metrics.

use syncserver::settings;

use crate::text;

#[test]
fn prometheus_is_told_to_ask_where_a_server_without_settings_answers() {
    let address = settings::load(None, [("", ""); 0]).unwrap().metrics.listen.unwrap();
    assert!(address.ip().is_loopback() && address.port() != 9090, "{address}: 9090 is Prometheus' own");
    assert!(text("config/prometheus.yml").contains(&format!("targets: [\"{address}\"]")));
    for page in ["metrics", "running"] {
        assert!(text(&format!("docs/src/{page}.md")).contains(&format!("http://{address}/metrics")), "{page}");
    }
}
