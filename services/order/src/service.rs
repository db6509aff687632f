//! The contract, method by method: each is one line to the module that does it.

use std::pin::Pin;

use futures_util::Stream;
use seawall_proto::seawall::order::v1::order_service_server::OrderService;
use seawall_proto::seawall::order::v1::{
    CancelOrderRequest, CancelOrderResponse, GetOrderRequest, GetOrderResponse, ListOrdersRequest, ListOrdersResponse,
    PlaceOrderRequest, PlaceOrderResponse, WatchOrderRequest, WatchOrderResponse,
};
use tonic::{Request, Response, Status};

use crate::Orders;
use crate::cancel::cancel;
use crate::get::get;
use crate::list::list;
use crate::place::place;
use crate::watch::watch;

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl OrderService for Orders {
    type WatchOrderStream = Pin<Box<dyn Stream<Item = Result<WatchOrderResponse, Status>> + Send>>;

    async fn place_order(&self, request: Request<PlaceOrderRequest>) -> Answer<PlaceOrderResponse> {
        Ok(Response::new(place(&self.sql, &self.users, request.into_inner()).await?))
    }

    async fn get_order(&self, request: Request<GetOrderRequest>) -> Answer<GetOrderResponse> {
        Ok(Response::new(get(&self.sql, request.into_inner()).await?))
    }

    async fn list_orders(&self, request: Request<ListOrdersRequest>) -> Answer<ListOrdersResponse> {
        Ok(Response::new(list(&self.sql, request.into_inner()).await?))
    }

    async fn cancel_order(&self, request: Request<CancelOrderRequest>) -> Answer<CancelOrderResponse> {
        Ok(Response::new(cancel(self, request.into_inner()).await?))
    }

    async fn watch_order(&self, request: Request<WatchOrderRequest>) -> Answer<Self::WatchOrderStream> {
        Ok(Response::new(Box::pin(watch(self.clone(), request.into_inner()).await?)))
    }
}
