-- One database for each service; that of user is made by the image itself.
CREATE DATABASE "order" OWNER seawall;
