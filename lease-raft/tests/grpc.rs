//! Members that reach each other over gRPC, on loopback.

#[path = "support/text.rs"]
mod text;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use lease_raft::grpc::{Answers, GrpcPeers, Tls, serve};
use lease_raft::{MemberId, PeerAnswer, Peers};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tracing::Level;
use tracing_subscriber::fmt;

use text::Text;

const LONG: Duration = Duration::from_secs(10);

const PROPOSE: &str = "/raft/propose";

/// After how long a late answer comes.
const LATE: Duration = Duration::from_millis(100);

/// Says what it was asked, and by whom.
#[derive(Default)]
struct Echo {
    asked: AtomicUsize,
}

impl Answers for Echo {
    fn answer(
        &self,
        from: MemberId,
        path: String,
        body: Vec<u8>,
    ) -> BoxFuture<'static, PeerAnswer> {
        self.asked.fetch_add(1, SeqCst);
        async move {
            match &*path {
                "/hang" | PROPOSE => std::future::pending().await,
                "/late" => {
                    tokio::time::sleep(LATE).await;
                    PeerAnswer { status: 200, body }
                }
                "/long" => PeerAnswer {
                    status: 200,
                    body: vec![7; 10 << 20],
                },
                _ => PeerAnswer {
                    status: 200 + u16::try_from(from).expect("small"),
                    body: [path.as_bytes(), b" ", &body].concat(),
                },
            }
        }
        .boxed()
    }
}

struct Member {
    address: String,
    stop: oneshot::Sender<()>,
    serves: JoinHandle<std::io::Result<()>>,
    echo: Arc<Echo>,
}

async fn member(tls: Option<Tls>, at: &str) -> Member {
    let listener = TcpListener::bind(at).await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let (stop, stopped) = oneshot::channel();
    let echo = Arc::new(Echo::default());
    let answers = Arc::clone(&echo) as Arc<dyn Answers>;
    let stopped = stopped.map(drop);
    let serves = tokio::spawn(serve(listener, "ours", 2, tls, answers, stopped));
    Member {
        address,
        stop,
        serves,
        echo,
    }
}

fn peers(cluster: &str, address: &str, tls: Option<Tls>) -> GrpcPeers {
    let peers = GrpcPeers::new(cluster, 1, tls);
    peers.set_address(2, address);
    peers
}

#[tokio::test]
async fn a_member_asks_another_one() {
    let member = member(None, "127.0.0.1:0").await;
    let peers = peers("ours", &member.address, None);
    let answer = peers.ask(2, "/path", b"body".to_vec(), LONG).await;
    let expected = PeerAnswer {
        status: 201,
        body: b"/path body".to_vec(),
    };
    assert_eq!(answer, Ok(expected));
    let long = peers
        .ask(2, "/long", vec![1; 10 << 20], LONG)
        .await
        .expect("short enough");
    assert_eq!(long.body.len(), 10 << 20);
    let too_long = peers.ask(2, "/path", vec![1; (64 << 20) + 1], LONG).await;
    let too_long = too_long.expect_err("nothing carries it").reason;
    assert!(too_long.starts_with("a message of"), "{too_long}");
    assert!(
        peers.ask(2, "/path", vec![], LONG).await.is_ok(),
        "the next one is answered"
    );
    let unknown = peers
        .ask(3, "/path", vec![], LONG)
        .await
        .expect_err("nobody");
    assert!(unknown.to_string().contains("member 3"), "{unknown}");
    let hangs = peers
        .ask(2, "/hang", vec![], Duration::from_millis(50))
        .await;
    assert!(hangs.expect_err("no answer").to_string().contains("50ms"));
    let many = (0..200).map(|_| peers.ask(2, "/path", vec![], LONG));
    let many = futures::future::join_all(many).await;
    assert!(many.iter().all(Result::is_ok));
}

#[tokio::test]
async fn requests_for_others_are_refused() {
    let member = member(None, "127.0.0.1:0").await;
    let stranger = peers("theirs", &member.address, None);
    let refused = stranger
        .ask(2, "/path", vec![], LONG)
        .await
        .expect("it answers");
    assert_eq!(refused.status, 421);
    let text = String::from_utf8_lossy(&refused.body);
    assert!(text.contains("\"ours\""), "{text}");
    let lost = peers("ours", "127.0.0.1:1", None);
    lost.set_address(3, member.address.clone());
    let refused = lost
        .ask(3, "/path", vec![], LONG)
        .await
        .expect("it answers");
    assert_eq!(refused.status, 421);
    assert_eq!(refused.body, b"this is member 2");
    assert_eq!(member.echo.asked.load(SeqCst), 0);
}

#[tokio::test]
async fn a_member_that_is_away_is_reached_again() {
    let first = member(None, "127.0.0.1:0").await;
    let peers = peers("ours", &first.address, None);
    assert!(peers.ask(2, "/path", vec![], LONG).await.is_ok());
    first.stop.send(()).expect("it serves");
    first.serves.await.expect("no panic").expect("it ends well");
    let away = peers.ask(2, "/path", vec![], LONG).await;
    assert!(away.is_err());
    let again = member(None, &first.address).await;
    for _ in 0..1_000 {
        if peers.ask(2, "/path", vec![], LONG).await.is_ok() {
            return again.serves.abort();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it is not reached again");
}

#[tokio::test]
async fn nonsense_ends_its_own_connection_alone() {
    let member = member(None, "127.0.0.1:0").await;
    let peers = peers("ours", &member.address, None);
    assert!(peers.ask(2, "/path", vec![], LONG).await.is_ok());
    for nonsense in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0; 4096], &[0xff; 4096]] {
        let mut stream = TcpStream::connect(&member.address)
            .await
            .expect("it listens");
        // It may be closed while this is written.
        let _ = stream.write_all(nonsense).await;
        assert!(peers.ask(2, "/path", vec![], LONG).await.is_ok());
    }
}

struct Authority {
    certificate: rcgen::Certificate,
    issuer: rcgen::Issuer<'static, rcgen::KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let key = rcgen::KeyPair::generate().expect("a key");
        let mut params = rcgen::CertificateParams::new(vec![]).expect("no names");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).expect("it signs itself");
        let issuer = rcgen::Issuer::new(params, key);
        Self {
            certificate,
            issuer,
        }
    }

    fn tls(&self, trusted: &Self) -> Tls {
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(vec!["member".to_owned()]);
        let certificate = params.expect("a name").signed_by(&key, &self.issuer);
        let pem = certificate.expect("it signs").pem();
        Tls::new(trusted.certificate.pem(), pem, key.serialize_pem()).name("member")
    }
}

#[tokio::test]
async fn with_certificates_only_members_are_answered() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let tls = ours.tls(&ours);
    assert!(!format!("{tls:?}").contains("KEY"));
    let member = member(Some(tls), "127.0.0.1:0").await;
    let address = &member.address;
    let good = peers("ours", address, Some(ours.tls(&ours)));
    let answer = good.ask(2, "/path", vec![], LONG).await;
    assert!(answer.is_ok(), "{answer:?}");
    let short = Duration::from_secs(2);
    let plain = peers("ours", address, None);
    assert!(
        plain.ask(2, "/path", vec![], short).await.is_err(),
        "without"
    );
    let stranger = peers("ours", address, Some(theirs.tls(&ours)));
    assert!(
        stranger.ask(2, "/path", vec![], short).await.is_err(),
        "of others"
    );
    let deceived = peers("ours", address, Some(ours.tls(&theirs)));
    assert!(
        deceived.ask(2, "/path", vec![], short).await.is_err(),
        "it is not whom it trusts"
    );
    assert_eq!(member.echo.asked.load(SeqCst), 1);
}

/// The lines of a log that are of handshakes, when there is one.
async fn of_handshakes(log: &Text) -> Vec<String> {
    for _ in 0..1_000 {
        let text = log.read();
        let lines = text.lines().filter(|line| line.contains("TLS handshake"));
        let lines: Vec<_> = lines.map(ToOwned::to_owned).collect();
        if !lines.is_empty() {
            return lines;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("nothing is said");
}

#[tokio::test]
async fn who_is_refused_for_its_certificate_is_said_once() {
    let log = Text::default();
    let writer = log.clone();
    let subscriber = fmt().with_max_level(Level::WARN).with_ansi(false);
    let subscriber = subscriber.with_writer(move || writer.clone()).finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let (ours, theirs) = (Authority::new(), Authority::new());
    let member = member(Some(ours.tls(&ours)), "127.0.0.1:0").await;
    let good = peers("ours", &member.address, Some(ours.tls(&ours)));
    let answer = good.ask(2, "/path", vec![], LONG).await;
    assert!(answer.is_ok(), "{answer:?}");
    // Whoever looks whether the port is open.
    drop(TcpStream::connect(&member.address).await);
    for _ in 0..3 {
        let stranger = peers("ours", &member.address, Some(theirs.tls(&ours)));
        let refused = stranger.ask(2, "/path", vec![], LONG).await;
        assert!(refused.is_err(), "{refused:?}");
    }
    let lines = of_handshakes(&log).await;
    let [line] = &lines[..] else {
        panic!("{lines:?}");
    };
    assert!(line.contains("peer=127.0.0.1:"), "{line}");
    assert!(line.contains("others=0"), "{line}");
}

#[tokio::test(start_paused = true)]
async fn who_connects_and_says_nothing_does_not_stay() {
    let ours = Authority::new();
    for tls in [None, Some(ours.tls(&ours))] {
        let member = member(tls, "127.0.0.1:0").await;
        for said in [&b""[..], b"P", &[22, 3, 1, 2, 0, 1]] {
            let mut stream = TcpStream::connect(&member.address)
                .await
                .expect("it listens");
            stream.write_all(said).await.expect("it is open");
            let mut rest = Vec::new();
            let closed = tokio::time::timeout(6 * LONG, stream.read_to_end(&mut rest));
            // How it is closed does not matter.
            let _ = closed.await.expect("it is closed");
        }
    }
}

/// Short requests that nobody has read yet are an attack to HTTP/2, which ends the connection of too many of them.
#[tokio::test]
async fn many_questions_may_wait() {
    let member = member(None, "127.0.0.1:0").await;
    let peers = peers("ours", &member.address, None);
    let many = (0..20_000).map(|_| peers.ask(2, "/hang", vec![], LONG / 3));
    for answer in futures::future::join_all(many).await {
        let error = answer.expect_err("it hangs");
        assert!(error.reason.starts_with("not within"), "{error}");
    }
    // The connection is there, and nobody waits any more.
    let asked = peers.ask(2, "/path", vec![], LONG).await;
    assert!(asked.is_ok(), "{asked:?}");
}

#[tokio::test]
async fn nothing_waits_behind_proposals() {
    let member = member(None, "127.0.0.1:0").await;
    let peers = peers("ours", &member.address, None);
    let proposed = (0..5_000).map(|_| peers.ask(2, PROPOSE, vec![], LONG));
    let mut proposed = futures::future::join_all(proposed);
    let answered = async {
        // As many as there may be on a connection.
        while member.echo.asked.load(SeqCst) < 1_000 {
            tokio::time::sleep(LATE / 100).await;
        }
        for path in ["/leases", "/raft/vote", "/raft/read-index"] {
            let answer = peers.ask(2, path, vec![], LONG / 2).await;
            assert!(answer.is_ok(), "{path}: {answer:?}");
        }
    };
    tokio::select! {
        _ = &mut proposed => panic!("it hangs"),
        () = answered => {}
    }
}

/// Questions that are given up before the other end has seen them are an attack to HTTP/2.
#[tokio::test]
async fn many_questions_may_be_given_up_at_once() {
    let member = member(None, "127.0.0.1:0").await;
    let peers = peers("ours", &member.address, None);
    let waits = tokio::spawn(peers.ask(2, "/late", vec![], LONG));
    for _ in 0..10 {
        let asked = (0..1_000).map(|_| peers.ask(2, "/hang", vec![], Duration::from_millis(1)));
        let answers = futures::future::join_all(asked).await;
        assert!(answers.iter().all(Result::is_err), "it hangs");
    }
    let answer = waits.await.expect("no panic");
    assert!(answer.is_ok(), "the connection is there: {answer:?}");
}

/// The same when the other end has stood still, as a process that is paused, and sees them all at once.
#[tokio::test]
async fn many_questions_may_be_given_up_while_a_member_stands_still() {
    let (tell, told) = oneshot::channel();
    let (let_go, waits) = std::sync::mpsc::channel::<()>();
    let (stop, stopped) = oneshot::channel::<()>();
    let runs = tokio::task::spawn_blocking(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("it starts").block_on(async move {
            let member = member(None, "127.0.0.1:0").await;
            let echo = Arc::clone(&member.echo);
            tell.send((member.address, echo)).ok();
            while member.echo.asked.load(SeqCst) == 0 {
                tokio::time::sleep(LATE / 100).await;
            }
            waits.recv().expect("it is let go");
            // Until then it answers.
            let _ = stopped.await;
        });
    });
    let (address, echo) = told.await.expect("it listens");
    let peers = peers("ours", &address, None);
    let late = tokio::spawn(peers.ask(2, "/late", vec![], 3 * LONG));
    while echo.asked.load(SeqCst) == 0 {
        tokio::time::sleep(LATE / 100).await;
    }
    for _ in 0..4 {
        let asked = (0..1_000).map(|_| peers.ask(2, "/hang", vec![], 5 * LATE));
        let answers = futures::future::join_all(asked).await;
        assert!(answers.iter().all(Result::is_err), "it stands still");
    }
    let_go.send(()).expect("it stands still");
    let answer = late.await.expect("no panic");
    assert!(answer.is_ok(), "the connection is there: {answer:?}");
    stop.send(()).expect("it runs");
    runs.await.expect("no panic");
}

/// An answer to a question that was given up is an error to HTTP/2, which ends the connection of too many of them.
#[tokio::test]
async fn many_answers_may_be_late() {
    let member = member(None, "127.0.0.1:0").await;
    let peers = peers("ours", &slow_way_back(&member.address).await, None);
    assert!(peers.ask(2, "/path", vec![], LONG).await.is_ok());
    let waits = tokio::spawn(peers.ask(2, "/hang", vec![], 6 * LONG));
    // On a busy machine not all of them come there.
    while member.echo.asked.load(SeqCst) < 2_000 {
        let asked = (0..200).map(|_| peers.ask(2, "/path", vec![], LATE / 2));
        let answers = futures::future::join_all(asked).await;
        assert!(answers.iter().all(Result::is_err), "they come later");
    }
    // Its answer comes behind all others.
    let asked = peers.ask(2, "/path", vec![], LONG).await;
    assert!(asked.is_ok(), "{asked:?}");
    assert!(!waits.is_finished(), "the connection is there");
}

/// An address by which a member is reached at once, and answers late.
async fn slow_way_back(member: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    let member = member.to_owned();
    tokio::spawn(async move {
        loop {
            let (near, _) = listener.accept().await?;
            let (mut asked, mut answers) = near.into_split();
            let far = TcpStream::connect(&member).await?;
            let (mut answered, mut asks) = far.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut asked, &mut asks).await });
            tokio::spawn(async move {
                let mut part = vec![0; 1 << 20];
                loop {
                    let len = answered.read(&mut part).await?;
                    tokio::time::sleep(LATE).await;
                    answers.write_all(&part[..len]).await?;
                    if len == 0 {
                        return std::io::Result::Ok(());
                    }
                }
            });
        }
        #[expect(unreachable_code, reason = "it says of which kind the errors are")]
        std::io::Result::Ok(())
    });
    address
}

/// As a server for something else does, at an address that is wrong.
#[tokio::test]
async fn who_answers_nonsense_is_left_alone_for_a_while() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // It may be closed while this is written.
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let peers = peers("ours", &address, None);
    let first = peers.ask(2, "/path", vec![], LONG).await;
    let first = first.expect_err("nonsense").reason;
    let next = peers.ask(2, "/path", vec![], LONG).await;
    let next = next.expect_err("nonsense").reason;
    assert!(
        next.starts_with("it was not reached a moment ago") && next.contains(&first),
        "{first}, and then {next}"
    );
}

#[tokio::test]
async fn many_failures_at_once_are_one() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    drop(listener);
    let peers = peers("ours", &address, None);
    let many = (0..200).map(|_| peers.ask(2, "/path", vec![], LONG));
    let many = futures::future::join_all(many).await;
    assert!(many.iter().all(Result::is_err));
    let again = member(None, &address).await;
    // The first pause is 20 ms, and the tenth is a second.
    tokio::time::sleep(Duration::from_millis(25)).await;
    let asked = peers.ask(2, "/path", vec![], LONG).await;
    assert!(asked.is_ok(), "{asked:?}");
    again.serves.abort();
}
