//% if sql
//! The __name__ service over a real socket, on SQLite and on PostgreSQL, and as the program that is run.
//% else
//! The __name__ service over a real socket, and as the program that is run.
//% end

//% if none
mod check;
//% if stream
mod check_all;
//% end
//% end
//% if sql
mod create;
//% if stream
mod export;
//% end
mod get;
//% end
mod harness;
//% if sql
mod list;
//% end
//% if calls
mod peers;
//% end
mod process;
