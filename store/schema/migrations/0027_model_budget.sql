-- What a tenant's model calls may cost in a month, in USD; null leaves it to the settings.
ALTER TABLE public.tenant_settings ADD COLUMN model_budget numeric(10, 2) CHECK (model_budget >= 0);
CREATE INDEX job_steps_of_tenant ON public.job_steps (tenant_id, created_at);
