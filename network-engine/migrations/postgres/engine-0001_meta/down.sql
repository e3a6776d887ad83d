DROP TABLE syncserver_meta;
