mod certificates;
mod clients;
mod kit;
mod listeners;
mod proxies;
mod users;
