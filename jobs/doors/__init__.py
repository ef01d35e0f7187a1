"""The doors of the jobs room, one a noun; ``jobs.service.JobService`` is all of them over one desk."""
