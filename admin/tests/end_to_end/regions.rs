//! Edges behind the leaf node of a region, over TLS, with a copy of the index there.

use std::net::SocketAddr;
use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::Value;

use crate::edges::{
    Edge, NatsServer, agent_log, edges_with, import_codes, listed, monitors, named_levels, status,
    wait_for_edges,
};
use crate::programs::{Codes, Network, Program, is_installed, wait_for};

/// A hub and the leaf node `fra`, each with JetStream and TLS.
struct Region {
    network: Network,
    hub: Server,
    leaf: Server,
    /// Where the hub listens for the leaf node.
    link: SocketAddr,
    _admin: Program,
}

/// A nats-server.
struct Server {
    address: SocketAddr,
    config: PathBuf,
    store: PathBuf,
    program: Option<Program>,
}

impl Server {
    /// `options` are what hub and leaf node do not have in common.
    fn start(network: &Network, name: &str, address: SocketAddr, options: &str) -> Server {
        let [config, store] = ["conf", "store"].map(|end| network.path(&format!("{name}.{end}")));
        let mut server = Server { address, config, store, program: None };
        server.restart(network, name, &(server.jetstream(name) + options));
        server
    }

    fn jetstream(&self, domain: &str) -> String {
        format!("jetstream {{ store_dir: {:?}, domain: {domain} }}\n", self.store)
    }

    /// Starts the server, or ends it and starts it again.
    fn restart(&mut self, network: &Network, name: &str, options: &str) {
        let tls = tls(network);
        let text = format!(
            "listen: \"{}\"\nserver_name: {name}\nping_interval: \"1s\"\n{tls}\n{options}\n\
             include \"users.conf\"\n",
            self.address
        );
        std::fs::write(&self.config, text).unwrap();
        self.program = None;
        self.program = Some(NatsServer::run(&self.config, self.address));
    }

    /// Ends the server, removes its store, and starts it again.
    fn lose_store_and_start(&mut self, network: &Network, name: &str, options: &str) {
        self.program = None;
        let _ = std::fs::remove_dir_all(&self.store);
        self.restart(network, name, &(self.jetstream(name) + options));
    }
}

fn tls(network: &Network) -> String {
    let [certificate, key] = ["nats.pem", "nats.key"].map(|name| network.path(name));
    format!("tls {{ cert_file: {certificate:?}, key_file: {key:?} }}")
}

/// Writes a certificate for the address of a network, and its authority.
fn make_certificate(network: &Network, host: &str) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let [authority_key, key] = [(); 2].map(|()| KeyPair::generate().unwrap());
    let ca_pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = Issuer::new(authority, authority_key);
    let certificate = CertificateParams::new([host.to_owned()]).unwrap();
    let pem = certificate.signed_by(&key, &issuer).unwrap().pem();
    for (name, text) in [("ca.pem", ca_pem), ("nats.pem", pem), ("nats.key", key.serialize_pem())] {
        std::fs::write(network.path(name), text).unwrap();
    }
}

impl Region {
    fn start() -> Region {
        let network = Network::new();
        drop(network.start_admin_with(&[("COUPON_ADMIN_DAEMON_SOCKET", "none")]));
        let [hub, leaf, link] = [(); 3].map(|()| network.free_address());
        make_certificate(&network, &hub.ip().to_string());
        let variables = variables(&network, hub, leaf);
        let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, &**value)).collect();
        for name in ["a", "b", "c"] {
            let bundle = network.path(&format!("{name}.bundle"));
            edges_with(&network, &variables, &["add", name, "--out", bundle.to_str().unwrap()]);
        }
        let users = edges_with(&network, &variables, &["nats-config"]);
        std::fs::write(network.path("users.conf"), users).unwrap();
        let hub = Server::start(&network, "hub", hub, &listener(&network, link));
        let leaf = Server::start(&network, "fra", leaf, &remote(&network, link));
        let admin = network.start_admin_with(&variables);
        Region { network, hub, leaf, link, _admin: admin }
    }

    /// The copy as the status shows it.
    fn copy(&self) -> Value {
        status(&self.network)["edges"]["regions"][0].clone()
    }

    fn wait_for_whole_copy(&self) {
        wait_for("the whole copy", || {
            let copy = self.copy();
            (copy["parts_behind"] == 0 && copy["problem"].is_null()).then_some(())
        });
    }

    /// Imports a level that does not come with its head, and waits until edges serve it.
    fn import(&self, codes: &Codes, prefix: &str, edges: &[Edge]) {
        import_codes(&self.network, codes, prefix, 60_000);
        for edge in edges {
            let is_served = || edge.visit(&format!("/{prefix}059999")).status == 302;
            wait_for("the imported codes", || is_served().then_some(()));
        }
    }
}

fn listener(network: &Network, link: SocketAddr) -> String {
    format!(
        "leafnodes {{ listen: \"{link}\", {}, authorization {{ user: leaf, password: x }} }}",
        tls(network)
    )
}

fn remote(network: &Network, link: SocketAddr) -> String {
    format!(
        "leafnodes {{ reconnect: 1, remotes: [ {{ url: \"tls://leaf:x@{link}\", tls {{ ca_file: {:?} }} \
         }} ] }}",
        network.path("ca.pem")
    )
}

fn variables(network: &Network, hub: SocketAddr, leaf: SocketAddr) -> [(&'static str, String); 6] {
    [
        ("COUPON_ADMIN_DAEMON_SOCKET", "none".to_owned()),
        ("COUPON_ADMIN_HUB_SERVERS", format!("tls://{hub}")),
        ("COUPON_ADMIN_HUB_EDGE_SERVERS", format!("tls://{leaf}")),
        ("COUPON_ADMIN_HUB_CA_FILE", network.path("ca.pem").to_str().unwrap().to_owned()),
        ("COUPON_ADMIN_HUB_REGIONS", "fra".to_owned()),
        ("COUPON_ADMIN_METRICS_LISTEN", monitors(network).to_string()),
    ]
}

/// How many parts of each fetched object an edge had from the copy, in order.
fn parts_of_region(network: &Network, edge: &str) -> Vec<u32> {
    let log = std::fs::read_to_string(agent_log(network, edge)).unwrap();
    let fetched = log.lines().filter(|line| line.contains("object of the index fetched"));
    let parts = fetched.map(|line| line.split("parts_of_region=").nth(1).unwrap());
    parts.map(|text| text.split_whitespace().next().unwrap().parse().unwrap()).collect()
}

#[test]
fn a_region_gives_its_edges_the_index_and_where_it_fails_the_hub_does() {
    if !is_installed("nats-server") {
        return;
    }
    let mut region = Region::start();
    let edges =
        [("a", 1), ("b", 2)].map(|(name, node)| Edge::start_in(&region.network, name, node, "fra"));
    region.wait_for_whole_copy();
    let codes = region.network.create_winter25();
    wait_for_edges(&region.network, 2);
    region.import(&codes, "FIRST", &edges);
    let clicks: Vec<String> = edges.iter().map(Edge::click).collect();
    wait_for("the clicks over the leaf node", || {
        let counted = region.network.clicks();
        let is_counted = |id: &String| counted.iter().any(|click| click["transaction_id"] == **id);
        clicks.iter().all(is_counted).then_some(())
    });
    let parts = |edge| parts_of_region(&region.network, edge);
    for edge in ["a", "b"] {
        assert!(parts(edge)[0] > 0 && !parts(edge).contains(&0), "{edge}: {:?}", parts(edge));
    }

    // The leaf node keeps nothing any more.
    let remote = remote(&region.network, region.link);
    let without = format!("default_js_domain: {{ \"$G\": hub }}\n{remote}");
    region.leaf.restart(&region.network, "fra", &without);
    let problem = wait_for("the problem", || region.copy()["problem"].as_str().map(str::to_owned));
    assert!(problem.contains("domain: fra"), "{problem}");
    region.import(&codes, "SECOND", &edges);
    let of_edge = wait_for("the edge to say so", || {
        let edge = listed(&region.network, "a");
        edge["problems"].as_array()?.first()?.as_str().map(str::to_owned)
    });
    assert!(of_edge.contains("region `fra` does not answer: the hub is asked"), "{of_edge}");

    // Both come back, and neither has a store.
    region.leaf.lose_store_and_start(&region.network, "fra", &remote);
    region.wait_for_whole_copy();
    let copy = region.leaf.store.join("jetstream/$G/streams/COUPON_1_OBJ/meta.inf");
    let before = std::fs::read(&copy).unwrap();
    let listener = listener(&region.network, region.link);
    region.hub.lose_store_and_start(&region.network, "hub", &listener);
    wait_for("a copy of the new stream", || {
        std::fs::read(&copy).ok().filter(|copy| *copy != before)
    });
    region.wait_for_whole_copy();
    let newcomer = Edge::start_in(&region.network, "c", 3, "fra");
    wait_for_edges(&region.network, 3);
    assert_eq!(newcomer.visit("/first059999").status, 302);
    let fetched = parts_of_region(&region.network, "c");
    assert_eq!(fetched.len(), named_levels(&region.network.path("index-c")).len(), "{fetched:?}");
    assert!(!fetched.contains(&0), "{fetched:?}");
}
