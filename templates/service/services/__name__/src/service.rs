//! The contract, method by method: each is one line to the module that does it.

//% if stream
use std::pin::Pin;

use futures_util::Stream;
//% end
use __root___proto::__root__::__name__::v1::__name___service_server::__Name__Service;
//% if sql
use __root___proto::__root__::__name__::v1::{
    CreateItemRequest, CreateItemResponse, GetItemRequest, GetItemResponse, ListItemsRequest, ListItemsResponse,
//% if stream
    ExportItemsRequest, ExportItemsResponse,
//% end
};
//% else
use __root___proto::__root__::__name__::v1::{
    CheckItemRequest, CheckItemResponse,
//% if stream
    CheckItemsRequest, CheckItemsResponse,
//% end
};
//% end
//% if none stream
use tonic::{Request, Response, Status, Streaming};
//% else
use tonic::{Request, Response, Status};
//% end

use crate::Items;
//% if sql
use crate::create::create;
//% if stream
use crate::export::export;
//% end
use crate::get::get;
use crate::list::list;
//% else
use crate::check::check;
//% if stream
use crate::check_all::check_all;
//% end
//% end

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl __Name__Service for Items {
//% if sql stream
    type ExportItemsStream = Pin<Box<dyn Stream<Item = Result<ExportItemsResponse, Status>> + Send>>;

//% end
//% if none stream
    type CheckItemsStream = Pin<Box<dyn Stream<Item = Result<CheckItemsResponse, Status>> + Send>>;

//% end
//% if sql
    async fn create_item(&self, request: Request<CreateItemRequest>) -> Answer<CreateItemResponse> {
//% if calls
        Ok(Response::new(create(&self.sql, &self.peers, request.into_inner()).await?))
//% else
        Ok(Response::new(create(&self.sql, request.into_inner()).await?))
//% end
    }

    async fn get_item(&self, request: Request<GetItemRequest>) -> Answer<GetItemResponse> {
        Ok(Response::new(get(&self.sql, request.into_inner()).await?))
    }

    async fn list_items(&self, request: Request<ListItemsRequest>) -> Answer<ListItemsResponse> {
        Ok(Response::new(list(&self.sql, request.into_inner()).await?))
    }
//% if stream

    async fn export_items(&self, _: Request<ExportItemsRequest>) -> Answer<Self::ExportItemsStream> {
        Ok(Response::new(Box::pin(export(self.sql.clone()))))
    }
//% end
//% else
    async fn check_item(&self, request: Request<CheckItemRequest>) -> Answer<CheckItemResponse> {
//% if calls
        Ok(Response::new(check(&self.peers, request.into_inner()).await?))
//% else
        Ok(Response::new(check(request.into_inner())?))
//% end
    }
//% if stream

    async fn check_items(&self, requests: Request<Streaming<CheckItemsRequest>>) -> Answer<Self::CheckItemsStream> {
//% if calls
        Ok(Response::new(Box::pin(check_all(self.peers.clone(), requests.into_inner()))))
//% else
        Ok(Response::new(Box::pin(check_all(requests.into_inner()))))
//% end
    }
//% end
//% end
}
