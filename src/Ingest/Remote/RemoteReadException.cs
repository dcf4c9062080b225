using System.Net;
using System.Text;

namespace DistTrain.Ingest;

/// <summary>
/// A file could not be read over the network: what was tried, where in the file, what the server said and how often it was asked. The address is given
/// without user, password and query, which may be secrets.
/// </summary>
public sealed class RemoteReadException : IOException
{
    /// <summary>A read failed.</summary>
    /// <param name="address">The file's address, without secrets.</param>
    /// <param name="offset">The byte that could not be read.</param>
    /// <param name="status">The server's answer, if there was one.</param>
    /// <param name="attemptCount">Requests that failed in a row.</param>
    /// <param name="problem">What was found, what was expected, what to do.</param>
    /// <param name="innerException">The cause, if another exception told of it.</param>
    public RemoteReadException(string address, long offset, HttpStatusCode? status, int attemptCount, string problem, Exception? innerException = null)
        : base(Describe(address, offset, status, attemptCount, problem), innerException)
    {
        Address = address;
        Offset = offset;
        Status = status;
        AttemptCount = attemptCount;
        Problem = problem;
    }

    /// <summary>The file's address, without secrets.</summary>
    public string Address { get; }

    /// <summary>The byte that could not be read.</summary>
    public long Offset { get; }

    /// <summary>The server's answer to the last request, if there was one.</summary>
    public HttpStatusCode? Status { get; }

    /// <summary>Requests that failed in a row.</summary>
    public int AttemptCount { get; }

    /// <summary>The message without place, status and attempts.</summary>
    internal string Problem { get; }

    private static string Describe(string address, long offset, HttpStatusCode? status, int attemptCount, string problem)
    {
        StringBuilder text = new($"{address}, byte {offset}: {problem}");
        if (status is { } code) text.Append($" (status {(int)code} {code})");
        if (attemptCount > 1) text.Append($", after {attemptCount} attempts");
        return text.ToString();
    }
}
