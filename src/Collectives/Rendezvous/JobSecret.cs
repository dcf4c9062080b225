using System.Security.Cryptography;
using System.Text;

namespace DistTrain.Collectives;

/// <summary>
/// 32 random bytes that all processes of one job know and nobody else. Rendezvous stores prove with it, by HMAC-SHA256, that both sides belong to the job; it is never sent, written or shown
/// except by <see cref="ToHex"/> and <see cref="WriteFile"/>. Immutable, thread-safe.
/// </summary>
public sealed class JobSecret
{
    /// <summary>Bytes of a secret.</summary>
    public const int ByteCount = 32;

    /// <summary>The environment variable with the secret as 64 hexadecimal digits; the launcher sets it for its processes.</summary>
    public const string Variable = "DISTTRAIN_JOB_SECRET";

    /// <summary>The environment variable with the path of a file that holds the secret; where the first one is not set.</summary>
    public const string FileVariable = "DISTTRAIN_JOB_SECRET_FILE";

    private const int HexLength = 2 * ByteCount;
    private const int MaxFileByteCount = 4096;
    private readonly byte[] _bytes;

    private JobSecret(byte[] bytes) => _bytes = bytes;

    /// <summary>A new one from the system's generator.</summary>
    public static JobSecret Create() => new(RandomNumberGenerator.GetBytes(ByteCount));

    /// <summary>Reads 64 hexadecimal digits; white space around them is ignored.</summary>
    /// <param name="hex">The digits.</param>
    /// <param name="origin">Where they come from, for the error.</param>
    /// <exception cref="FormatException">Something else; the message names the origin and never shows the text.</exception>
    public static JobSecret FromHex(string hex, string origin)
    {
        ArgumentNullException.ThrowIfNull(hex);
        string digits = hex.Trim();
        if (digits.Length != HexLength) throw new FormatException($"{origin}: a job secret is {HexLength} hexadecimal digits, found {digits.Length} characters");
        byte[] bytes = new byte[ByteCount];
        if (Convert.FromHexString(digits, bytes, out _, out _) != System.Buffers.OperationStatus.Done)
            throw new FormatException($"{origin}: a job secret is {HexLength} hexadecimal digits, found other characters");
        return new JobSecret(bytes);
    }

    /// <summary>Reads a file of 64 hexadecimal digits. Where the system has file modes, only its owner may have rights to it.</summary>
    /// <exception cref="FormatException">Others have rights to the file, or it holds something else.</exception>
    /// <exception cref="IOException">It can't be read.</exception>
    public static JobSecret FromFile(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        string full = Path.GetFullPath(path);
        // The length first: a pipe or a device has none, and opening a pipe would wait for its writer.
        long length = new FileInfo(full).Length;
        if (length is < HexLength or > MaxFileByteCount)
            throw new FormatException($"job secret file {full}: has {length:N0} bytes, expected {HexLength} hexadecimal digits");
        using FileStream file = File.OpenRead(full);
        if (!OperatingSystem.IsWindows())
        {
            UnixFileMode mode = File.GetUnixFileMode(file.SafeFileHandle);
            if ((mode & ~(UnixFileMode.UserRead | UnixFileMode.UserWrite)) != 0)
                throw new FormatException($"job secret file {full}: has mode 0{Convert.ToString((int)mode, 8)}, so others may read or change it; run chmod 600 on it");
        }
        byte[] text = new byte[length];
        file.ReadExactly(text);
        return FromHex(Encoding.ASCII.GetString(text), $"job secret file {full}");
    }

    /// <summary>Reads the secret from <see cref="Variable"/> or the file that <see cref="FileVariable"/> names.</summary>
    /// <returns>The secret; null if neither is set.</returns>
    /// <exception cref="FormatException">What is set holds no secret.</exception>
    /// <exception cref="IOException">The file can't be read.</exception>
    public static JobSecret? FromEnvironment() => FromVariables(Environment.GetEnvironmentVariable);

    internal static JobSecret? FromVariables(Func<string, string?> find)
    {
        if (find(Variable) is { Length: > 0 } hex) return FromHex(hex, $"environment variable {Variable}");
        return find(FileVariable) is { Length: > 0 } path ? FromFile(path) : null;
    }

    /// <summary>Writes the secret to a new file that only its owner may read and write.</summary>
    /// <exception cref="IOException">The file exists or can't be written.</exception>
    public void WriteFile(string path)
    {
        ArgumentException.ThrowIfNullOrEmpty(path);
        var options = new FileStreamOptions { Mode = FileMode.CreateNew, Access = FileAccess.Write };
        if (!OperatingSystem.IsWindows()) options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        using var file = new FileStream(path, options);
        file.Write(Encoding.ASCII.GetBytes(ToHex() + "\n"));
        file.Flush(flushToDisk: true);
    }

    /// <summary>The 64 hexadecimal digits, for the environment of the job's own processes only: never for logs or command lines, which others can see.</summary>
    public string ToHex() => Convert.ToHexStringLower(_bytes);

    /// <summary>Whether another one is the same; takes the same time whatever they hold.</summary>
    public bool Matches(JobSecret other)
    {
        ArgumentNullException.ThrowIfNull(other);
        return CryptographicOperations.FixedTimeEquals(_bytes, other._bytes);
    }

    /// <summary>Never shows the secret.</summary>
    public override string ToString() => "job secret (hidden)";

    /// <summary>The code of some parts under this secret. Each part goes in with its length before it, so that no two lists of parts are the same bytes.</summary>
    internal byte[] Authenticate(params ReadOnlySpan<byte[]> parts)
    {
        using var code = IncrementalHash.CreateHMAC(HashAlgorithmName.SHA256, _bytes);
        Span<byte> length = stackalloc byte[sizeof(int)];
        foreach (byte[] part in parts)
        {
            System.Buffers.Binary.BinaryPrimitives.WriteInt32LittleEndian(length, part.Length);
            code.AppendData(length);
            code.AppendData(part);
        }
        return code.GetHashAndReset();
    }
}
