//! SIGKILL in the middle of an upload.

use release_testing::origin::Origin;

use crate::{
    bad_uploads::{begin_upload, stored},
    harness::{Artifact, Order, Server},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_a_crash_cuts_off_leaves_nothing_behind() {
    let origin = Origin::new();
    let mut server = Server::start(&origin).await;
    let before = stored(&server);
    let artifact = Artifact::new("svc", "master-1-2");
    for _ in 0..3 {
        let stream = begin_upload(&server, &artifact).await;
        server.kill();
        drop(stream);
        assert_ne!(stored(&server), before, "the crash came too early to leave something");
        server.restart().await;
        assert_eq!(stored(&server), before);
    }
    server.push(&artifact).await;
    let release = server.accepted(&Order::new("svc", "dev", "master-1-2")).await;
    server.drained().await;
    let status = server.get(&format!("/api/v1/releases/{release}")).await.body;
    assert_eq!(status["state"], "released", "{status}");
}
