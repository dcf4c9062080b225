using System.Net;
using System.Security.Authentication;

namespace DistTrain.Ingest;

/// <summary>One request that failed, and whether the next may succeed.</summary>
internal sealed class HttpFailure(string problem, bool isTransient, HttpStatusCode? status = null, TimeSpan? retryAfter = null, Exception? innerException = null)
    : Exception(problem, innerException)
{
    internal bool IsTransient => isTransient;

    internal HttpStatusCode? Status => status;

    /// <summary>The pause that the server asked for.</summary>
    internal TimeSpan? RetryAfter => retryAfter;

    /// <summary>What an exception out of the HTTP client means. Cancellation of the whole source must have been sorted out before.</summary>
    internal static HttpFailure Of(Exception thrown, string timedOut) => thrown switch
    {
        HttpFailure failure => failure,
        OperationCanceledException => new HttpFailure(timedOut, isTransient: true, innerException: thrown),
        HttpRequestException { InnerException: AuthenticationException } => new HttpFailure($"no secure connection: {thrown.InnerException.Message}", isTransient: false, innerException: thrown),
        HttpRequestException { HttpRequestError: HttpRequestError.ConfigurationLimitExceeded or HttpRequestError.VersionNegotiationError } =>
            new HttpFailure(thrown.Message, isTransient: false, innerException: thrown),
        HttpRequestException or IOException => new HttpFailure($"the connection failed: {thrown.Message}", isTransient: true, innerException: thrown),
        _ => new HttpFailure(thrown.Message, isTransient: false, innerException: thrown),
    };
}
