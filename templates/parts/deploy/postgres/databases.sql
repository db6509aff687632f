--% if sql
CREATE DATABASE "__name__" OWNER seawall;
--% end
