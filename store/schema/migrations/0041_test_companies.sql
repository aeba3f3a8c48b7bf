-- A company may be made for tests: none of its mails leave.

ALTER TABLE public.tenants ADD COLUMN is_test boolean NOT NULL DEFAULT false;
