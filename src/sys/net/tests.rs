use std::os::fd::AsFd;

use super::*;
use crate::sys::testing::wait_for_kernel_stamps;
use crate::sys::wait::{Woken, wait};
use crate::types::TimeDelta;

fn server(address: &str) -> UdpSocket {
    UdpSocket::open(&UdpOptions::server(address.parse().unwrap())).unwrap()
}

fn arrived(socket: &UdpSocket) {
    let deadline = clock::mono() + TimeDelta::from_secs(5);
    assert_eq!(wait(&[socket.as_fd()], Some(deadline)).unwrap(), Woken::Ready(vec![0]));
}

/// IPv6 may be switched off in a container.
fn both_loopbacks() -> Vec<&'static str> {
    let mut list = vec!["127.0.0.1:0"];
    if UdpSocket::open(&UdpOptions::server("[::1]:0".parse().unwrap())).is_ok() {
        list.push("[::1]:0");
    }
    list
}

#[test]
fn a_packet_arrives_with_its_addresses_and_a_kernel_stamp() {
    for address in both_loopbacks() {
        let server = server(address);
        let to = server.local_address().unwrap();
        wait_for_kernel_stamps(&server);
        let client = UdpSocket::open(&UdpOptions::client(server.family())).unwrap();
        let before = clock::now();
        client.send_to(b"hello", to, None).unwrap();
        arrived(&server);
        let mut buffer = [0; 64];
        let got = server.receive(&mut buffer).unwrap().expect("a packet");
        let after = clock::now();
        assert_eq!((got.bytes, got.truncated), (&b"hello"[..], false));
        assert_eq!(got.from.port(), client.local_address().unwrap().port());
        assert_eq!((got.to, got.interface), (Some(to.ip()), 1));
        assert_eq!(got.stamp, StampSource::Kernel);
        assert!(before <= got.received && got.received <= after, "{before:?} {got:?} {after:?}");
        assert_eq!(server.receive(&mut [0; 8]).unwrap(), None);
    }
}

#[test]
fn a_reply_leaves_from_the_address_that_was_asked() {
    let server = server("0.0.0.0:0");
    let port = server.local_address().unwrap().port();
    let client = UdpSocket::open(&UdpOptions::client(Family::V4)).unwrap();
    let asked: SocketAddr = format!("127.0.0.9:{port}").parse().unwrap();
    client.send_to(b"?", asked, None).unwrap();
    arrived(&server);
    let mut buffer = [0; 64];
    let got = server.receive(&mut buffer).unwrap().unwrap();
    assert_eq!(got.to, Some(asked.ip()));
    server.send_to(b"!", got.from, got.to).unwrap();
    arrived(&client);
    let mut buffer = [0; 64];
    assert_eq!(client.receive(&mut buffer).unwrap().unwrap().from, asked);
}

#[test]
fn a_packet_longer_than_the_buffer_is_cut_and_said_to_be() {
    let server = server("127.0.0.1:0");
    let client = UdpSocket::open(&UdpOptions::client(Family::V4)).unwrap();
    client.send_to(b"0123456789", server.local_address().unwrap(), None).unwrap();
    arrived(&server);
    let mut buffer = [0; 4];
    let got = server.receive(&mut buffer).unwrap().unwrap();
    assert_eq!((got.bytes, got.truncated), (&b"0123"[..], true));
}

#[test]
fn a_second_holder_of_a_port_is_refused() {
    let first = server("127.0.0.1:0");
    let address = first.local_address().unwrap();
    let error = UdpSocket::open(&UdpOptions::server(address)).unwrap_err();
    assert_eq!((error.operation, error.errno), ("bind", Errno::EADDRINUSE));
    assert_eq!(error.object, address.to_string());
}

#[test]
fn an_icmp_error_is_one_result_and_the_socket_lives_on() {
    let closed = server("127.0.0.1:0").local_address().unwrap();
    let client = UdpSocket::open(&UdpOptions::client(Family::V4)).unwrap();
    client.connect(closed).unwrap();
    client.send(b"?").unwrap();
    arrived(&client);
    let error = client.receive(&mut [0; 8]).unwrap_err();
    assert_eq!(error.to_string(), "recvmsg: Connection refused");
    assert_eq!(client.receive(&mut [0; 8]).unwrap(), None);
}

#[test]
fn transmit_times_come_back_with_the_packet() {
    for address in both_loopbacks() {
        let server = server(address);
        let options = UdpOptions { transmit_stamps: true, ..UdpOptions::client(server.family()) };
        let client = UdpSocket::open(&options).unwrap();
        let before = clock::now();
        client.send_to(b"the payload", server.local_address().unwrap(), None).unwrap();
        arrived(&client);
        let mut buffer = [0; 256];
        let sent = client.transmitted(&mut buffer).expect("a transmit stamp");
        assert!(sent.is_of(b"the payload") && !sent.is_of(b"another one") && !sent.is_of(b""));
        assert!(before <= sent.at && sent.at <= clock::now());
        assert_eq!(client.transmitted(&mut [0; 256]), None);
    }
}

#[test]
fn loopback_has_a_route_and_a_bare_link_local_address_has_none() {
    assert!(has_route("127.0.0.1:123".parse().unwrap()));
    assert_eq!(route_to("127.0.0.5:123".parse().unwrap()).unwrap(), "127.0.0.1".parse::<IpAddr>().unwrap());
    assert!(!has_route("[fe80::1]:123".parse().unwrap()));
}

#[test]
fn descriptors_are_closed_on_exec_and_never_block() {
    let socket = server("127.0.0.1:0");
    let flags = fcntl(&socket, FcntlArg::F_GETFD).unwrap();
    assert_eq!(FdFlag::from_bits_truncate(flags), FdFlag::FD_CLOEXEC);
    let status = fcntl(&socket, FcntlArg::F_GETFL).unwrap();
    assert!(OFlag::from_bits_truncate(status).contains(OFlag::O_NONBLOCK));
}
