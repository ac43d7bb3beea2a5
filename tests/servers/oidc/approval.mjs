// Logins at oidc-provider in which whoever comes is logged in, and agrees to all.

export async function approve(provider, req, res, loginOf = () => ({})) {
  const { grantId, params, prompt: { details, name }, session } = await provider.interactionDetails(req, res);
  if (name === 'login') {
    const login = { accountId: params.login_hint ?? 'alice', remember: false, ...loginOf(params) };
    await provider.interactionFinished(req, res, { login }, { mergeWithLastSubmission: false });
    return;
  }
  const grant = await provider.Grant.find(grantId ?? '')
    ?? new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  if (details.missingOIDCScope) grant.addOIDCScope(details.missingOIDCScope.join(' '));
  if (details.missingOIDCClaims) grant.addOIDCClaims(details.missingOIDCClaims);
  for (const [resource, scopes] of Object.entries(details.missingResourceScopes ?? {})) {
    grant.addResourceScope(resource, scopes.join(' '));
  }
  details.rar?.forEach((detail) => grant.addRar(detail));
  await provider.interactionFinished(req, res, { consent: { grantId: await grant.save() } });
}
