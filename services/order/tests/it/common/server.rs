//! Where the fakes answer.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use proto::{
    payment::payment_service_server::PaymentServiceServer,
    product::product_service_server::ProductServiceServer,
    user::user_service_server::UserServiceServer,
};
use tokio::{
    net::TcpSocket,
    runtime::{Builder, Runtime},
};
use tonic::{
    service::Routes,
    transport::{Server, server::TcpIncoming},
};

use super::fakes::{FakePayments, FakeProducts, FakeUsers};

/// A gRPC server on a port and a runtime of its own, so that its end is the end
/// of its connections too.
pub struct GrpcServer {
    address: SocketAddr,
    socket: Option<TcpSocket>,
    runtime: Option<Runtime>,
}

impl GrpcServer {
    /// Takes a port, which refuses until the server starts.
    pub fn reserve() -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = socket.local_addr().unwrap();
        Self {
            address,
            socket: Some(socket),
            runtime: None,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    fn start(&mut self, routes: Routes) {
        let socket = self.socket.take().unwrap();
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = {
            let _within = runtime.enter();
            socket.listen(128).unwrap()
        };
        runtime.spawn(async move {
            let incoming = TcpIncoming::from(listener);
            let (_, health) = tonic_health::server::health_reporter();
            let server = Server::builder().add_routes(routes).add_service(health);
            server.serve_with_incoming(incoming).await.unwrap();
        });
        self.runtime = Some(runtime);
    }

    /// Ends it at once; when this returns its port refuses and its connections are
    /// gone.
    pub async fn stop(mut self) {
        self.socket = None;
        if let Some(runtime) = self.runtime.take() {
            let wait = Duration::from_secs(5);
            tokio::task::spawn_blocking(move || runtime.shutdown_timeout(wait))
                .await
                .unwrap();
        }
    }
}

impl Drop for GrpcServer {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

pub fn serve_users(server: &mut GrpcServer, users: &Arc<FakeUsers>) {
    server.start(Routes::new(UserServiceServer::from_arc(Arc::clone(users))));
}

pub fn serve_products(server: &mut GrpcServer, products: &Arc<FakeProducts>) {
    server.start(Routes::new(ProductServiceServer::from_arc(Arc::clone(
        products,
    ))));
}

pub fn serve_payments(server: &mut GrpcServer, payments: &Arc<FakePayments>) {
    server.start(Routes::new(PaymentServiceServer::from_arc(Arc::clone(
        payments,
    ))));
}
