//! The contract, method by method: each is one line to the module that does it.

use seawall_proto::seawall::__name__::v1::__name___service_server::__Name__Service;
use seawall_proto::seawall::__name__::v1::{
    CreateItemRequest, CreateItemResponse, GetItemRequest, GetItemResponse, ListItemsRequest, ListItemsResponse,
};
use tonic::{Request, Response, Status};

use crate::Items;
use crate::create::create;
use crate::get::get;
use crate::list::list;

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl __Name__Service for Items {
    async fn create_item(&self, request: Request<CreateItemRequest>) -> Answer<CreateItemResponse> {
        Ok(Response::new(create(&self.sql, request.into_inner()).await?))
    }

    async fn get_item(&self, request: Request<GetItemRequest>) -> Answer<GetItemResponse> {
        Ok(Response::new(get(&self.sql, request.into_inner()).await?))
    }

    async fn list_items(&self, request: Request<ListItemsRequest>) -> Answer<ListItemsResponse> {
        Ok(Response::new(list(&self.sql, request.into_inner()).await?))
    }
}
