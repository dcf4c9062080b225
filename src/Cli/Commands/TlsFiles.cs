using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace DistTrain.Cli;

/// <summary>The certificate of a server or worker and who vouches for the others', from PEM files that environment variables name.</summary>
internal sealed class TlsFiles : IDisposable
{
    private const string CertificateVariable = "DISTTRAIN_TLS_CERTIFICATE", KeyVariable = "DISTTRAIN_TLS_KEY", AuthorityVariable = "DISTTRAIN_TLS_AUTHORITY";

    private TlsFiles(X509Certificate2 certificate, X509Certificate2Collection authorities) => (Certificate, Authorities) = (certificate, authorities);

    public X509Certificate2 Certificate { get; }

    public X509Certificate2Collection Authorities { get; }

    /// <returns>Null: none of the variables is set.</returns>
    public static TlsFiles? FromEnvironment()
    {
        (string? certificate, string? key, string? authority) = (Find(CertificateVariable), Find(KeyVariable), Find(AuthorityVariable));
        if (certificate is null && key is null && authority is null) return null;
        if (certificate is null || authority is null) throw new UsageException($"TLS: expected {CertificateVariable} (a PEM file), {AuthorityVariable} (the certificates of who vouches for the others) and {KeyVariable} where the key is in a file of its own");
        try
        {
            X509Certificate2Collection authorities = [];
            authorities.ImportFromPemFile(authority);
            if (authorities.Count == 0) throw new UsageException($"{AuthorityVariable}: {authority} holds no certificate");
            return new TlsFiles(X509Certificate2.CreateFromPemFile(certificate, key), authorities);
        }
        catch (Exception failure) when (failure is CryptographicException or IOException or UnauthorizedAccessException)
        {
            throw new UsageException($"TLS, {certificate}{(key is null ? "" : $", {key}")}, {authority}: {failure.Message}");
        }
    }

    public void Dispose()
    {
        Certificate.Dispose();
        foreach (X509Certificate2 authority in Authorities) authority.Dispose();
    }

    private static string? Find(string name) => Environment.GetEnvironmentVariable(name) is { Length: > 0 } value ? value : null;
}
