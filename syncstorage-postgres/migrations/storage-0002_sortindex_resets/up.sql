-- A null in `sortindex` says nothing; with true here it says that the sortindex is to be reset. (A payload that is
-- reset is staged as '', a ttl as 2,100,000,000.) Servers that do not know the column leave it null.
ALTER TABLE batch_bsos ADD COLUMN sortindex_reset boolean;
