//! `ntpbox demo`: real applets, real sockets, and answers that are right.

use crate::support::cli::{check_goldens, run};
use crate::support::schema::check_output;

#[test]
fn goldens() {
    check_goldens("demo");
}

#[test]
fn the_commands_find_what_the_servers_serve() {
    let finished = run("ntpbox", &["demo", "--json"]);
    assert_eq!((finished.code(), finished.stderr.as_str()), (0, ""));
    let report = check_output(&finished.stdout).remove(0);
    let commands = report["data"]["commands"].as_array().unwrap();
    let servers = report["data"]["servers"].as_array().unwrap();
    let rows: Vec<_> = commands[0]["stdout"].as_str().unwrap().lines().collect();
    for (row, server) in rows.iter().zip(servers) {
        let address = server["address"].as_str().unwrap();
        let rest = row.strip_prefix(&format!("server {address}, stratum 10, offset ")).unwrap();
        let offset: f64 = rest.split(',').next().unwrap().parse().unwrap();
        let error = offset - server["offset_s"].as_f64().unwrap();
        assert!(error.abs() < 0.5, "{row}: {error}");
    }
    assert!(!rows[servers.len()].contains("127.0.0.3"), "the minority was believed: {rows:?}");
    let inner = check_output(commands[1]["stdout"].as_str().unwrap()).remove(0);
    assert_eq!((&inner["schema"], &inner["data"]["applied"]), (&"ntpbox/ntpdate/1".into(), &false.into()));
    // the two daemons
    let said = |start: &str| {
        let command = commands.iter().find(|c| c["command"].as_str().unwrap().starts_with(start)).unwrap();
        assert_eq!(command["exit_code"], 0, "{command:#}");
        command["stdout"].as_str().unwrap()
    };
    assert!(said("ntpbox chronyc -n -h 127.0.0.1 -p ").contains("\n^* 127.0.0.1 "), "{commands:#?}");
    let asked =
        commands.iter().rev().find(|c| c["command"].as_str().unwrap().starts_with("ntpbox ntpdate")).unwrap();
    assert!(
        asked["stdout"].as_str().unwrap().starts_with("server 127.0.0.1, stratum 4, offset "),
        "{asked:#}"
    );
    let followed = commands.last().unwrap()["stderr"].as_str().unwrap();
    assert!(followed.contains("Z Selected source 127.0.0.1\n"), "{followed}");
}
