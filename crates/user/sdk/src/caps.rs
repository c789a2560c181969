//! Clients of every interface, over handles of this process.

use rt::Cap;

macro_rules! clients {
    ($($name:ident = $file:ident::$module:ident;)*) => { $(
        #[doc = concat!("A client of the interface `", stringify!($name), "`.")]
        pub type $name = schema::$file::$module::Client<Cap>;
    )* };
}

schema::interfaces!(clients);
