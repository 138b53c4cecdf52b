const CREATED_AT = "2026-01-01T00:00:00Z";

/** The only organization and space of the local foundation. */
export const ORGANIZATION = { guid: "00000000-0000-4000-8000-00000000000a", name: "local" };
export const SPACE = { guid: "00000000-0000-4000-8000-00000000000b", name: "development" };

/** @param baseUrl URL of the API, for the links */
export function presentOrganization(baseUrl: string) {
  return {
    ...ORGANIZATION,
    created_at: CREATED_AT,
    updated_at: CREATED_AT,
    suspended: false,
    relationships: { quota: { data: null } },
    metadata: { labels: {}, annotations: {} },
    links: { self: { href: `${baseUrl}/v3/organizations/${ORGANIZATION.guid}` } },
  };
}

/** @param baseUrl URL of the API, for the links */
export function presentSpace(baseUrl: string) {
  const self = `${baseUrl}/v3/spaces/${SPACE.guid}`;
  return {
    ...SPACE,
    created_at: CREATED_AT,
    updated_at: CREATED_AT,
    relationships: { organization: { data: { guid: ORGANIZATION.guid } }, quota: { data: null } },
    metadata: { labels: {}, annotations: {} },
    links: {
      self: { href: self },
      organization: { href: `${baseUrl}/v3/organizations/${ORGANIZATION.guid}` },
      apply_manifest: { href: `${self}/actions/apply_manifest`, method: "POST" },
    },
  };
}
