//% if calls
//! The services that know whether what an item names is there.

use seawall_client::Channel;
use seawall_error::{Code, Error};
use seawall_policy::Policies;
use __root___proto::__root__::__name__::v1::Item;
//% each calls
use __root___proto::__peer_module__ as __peer__;
//% end

use crate::Config;
//% each calls
use crate::errors::__peer___not_found;
//% end

/// A client of each. Clones are the same clients.
#[derive(Debug, Clone)]
pub(crate) struct Peers {
//% each calls
    __peer__: __peer__::__peer_service___client::__PeerService__Client<Channel>,
//% end
}

impl Peers {
    /// Connects when it is called first: none of them need be there yet.
    pub(crate) fn new(config: &Config, policies: &Policies) -> Self {
        Self {
//% each calls
            __peer__: __peer__::__peer_service___client::__PeerService__Client::new(Channel::new("__peer__", &config.__peer__, policies)),
//% end
        }
    }

    /// Fails with `NOT_FOUND` unless everything that the item names is there.
    pub(crate) async fn check(&self, item: &Item) -> Result<(), Error> {
//% each calls
        self.check___peer__(&item.__peer___id).await?;
//% end
        Ok(())
    }
//% each calls

    async fn check___peer__(&self, __peer___id: &str) -> Result<(), Error> {
        let request = __peer__::__PeerRequest__ { __peer_field__: __peer___id.to_owned() };
        match self.__peer__.clone().__peer_method__(request).await {
            Ok(_) => Ok(()),
            Err(status) if status.code() == Code::NotFound => Err(__peer___not_found(__peer___id)),
            Err(status) => Err(Error::dependency("__peer__", status)),
        }
    }
//% end
}
//% end
