-- One database for each service; that of user is made by the image itself. PostgreSQL runs this when its
-- volume is new: an older volume gets a further database by hand, or anew by `docker compose down --volumes`.
CREATE DATABASE "order" OWNER seawall;
-- cargo seawall new adds above this line
