DROP TABLE syncserver_devices;
DROP TABLE syncserver_accounts;
