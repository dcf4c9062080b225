using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using DistTrain.Ingest;

namespace DistTrain.Runtime;

/// <summary>Where a run stands besides its tensors.</summary>
/// <param name="Step">Steps done: the number of the step that comes next.</param>
/// <param name="OptimizerStep">Steps the optimizer counts.</param>
/// <param name="Seed">The run's seed.</param>
/// <param name="Data">The input pipeline's position; null where the steps tell it.</param>
/// <param name="SampleCount">Samples seen by the run, over all its resumptions.</param>
/// <param name="ValidationLoss">Of the epoch that ended with this step; null where none did.</param>
/// <param name="Asynchronous">Of a parameter server: which steps are in the variables; null: all before <paramref name="Step"/>.</param>
/// <param name="LossScale">Null without loss scaling.</param>
public sealed record TrainingPosition(long Step, long OptimizerStep, ulong Seed, byte[]? Data, long SampleCount, double? ValidationLoss, AsynchronousSteps? Asynchronous = null, LossScaleState? LossScale = null)
{
    /// <summary>The learning rate of the step that comes next; null where it is not known.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public float? LearningRate { get; init; }

    /// <summary>What the running means were made of; null where they are not known: their first values are then those of the steps behind this one.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public RunningLosses? Losses { get; init; }

    /// <summary>Numbers that a loop kept besides (<see cref="BackupAndRestore.Values"/>); null: none.</summary>
    [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
    public IReadOnlyDictionary<string, double>? Values { get; init; }

    /// <summary><see cref="Data"/>, to open batches at.</summary>
    [JsonIgnore]
    public IteratorState? DataPosition => Data is null ? null : IteratorState.FromBytes(Data);
}

/// <summary>Sums of losses by their weights (samples, or what <see cref="TrainerOptions.ElementCount"/> counts), over all replicas.</summary>
/// <param name="IntervalSum">Since the loss was read last (<see cref="TrainerOptions.LogEvery"/>).</param>
/// <param name="IntervalWeight">The weights of these.</param>
/// <param name="EpochSum">Since the epoch began.</param>
/// <param name="EpochWeight">The weights of these.</param>
public sealed record RunningLosses(double IntervalSum, double IntervalWeight, double EpochSum, double EpochWeight);

/// <summary>Steps that workers have done in no certain order.</summary>
/// <param name="Floor">All steps below are done.</param>
/// <param name="DoneAhead">Those above it that are done too, ascending.</param>
public sealed record AsynchronousSteps(long Floor, IReadOnlyList<long> DoneAhead);

/// <summary>A tensor as a manifest knows it.</summary>
/// <param name="Name">Its name in the file.</param>
/// <param name="Crc32C">Of its bytes.</param>
/// <param name="Part">Which part of the tensor of that name it is, a vector of its elements; null: it is the whole.</param>
public sealed record CheckpointTensor(string Name, uint Crc32C, [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] CheckpointPart? Part = null);

/// <summary>Consecutive elements of a tensor.</summary>
/// <param name="Shape">Extents of the whole tensor.</param>
/// <param name="First">The first element, in row-major order.</param>
/// <param name="ElementCount">How many.</param>
public sealed record CheckpointPart(IReadOnlyList<int> Shape, long First, long ElementCount);

/// <summary>A file of a checkpoint.</summary>
/// <param name="Name">Without folder.</param>
/// <param name="ByteCount">Its length.</param>
/// <param name="Tensors">What is in it.</param>
public sealed record CheckpointFile(string Name, long ByteCount, IReadOnlyList<CheckpointTensor> Tensors);

/// <summary>
/// What a checkpoint consists of. Written last and with a checksum of its own: a folder without a good manifest is no checkpoint.
/// </summary>
/// <param name="Version">Of this format.</param>
/// <param name="Code">The version of the library that wrote it.</param>
/// <param name="Replicas">Replicas that trained.</param>
/// <param name="Position">Where the run stands.</param>
/// <param name="Files">The files.</param>
public sealed record CheckpointManifest(int Version, string Code, int Replicas, TrainingPosition Position, IReadOnlyList<CheckpointFile> Files)
{
    /// <summary>The format that this library reads and writes.</summary>
    public const int CurrentVersion = 1;

    /// <summary>The library's own version.</summary>
    internal static readonly string CurrentCode = typeof(CheckpointManifest).Assembly.GetName().Version!.ToString(3);

    internal const string FileName = "manifest.json";
    private const string ChecksumLine = "crc32c ";
    private const int LargestByteCount = 64 << 20;

    private static readonly JsonSerializerOptions s_json = new() { WriteIndented = true, NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals, UnmappedMemberHandling = JsonUnmappedMemberHandling.Disallow, RespectNullableAnnotations = true, RespectRequiredConstructorParameters = true };

    internal byte[] ToBytes()
    {
        byte[] json = [.. JsonSerializer.SerializeToUtf8Bytes(this, s_json), (byte)'\n'];
        return [.. json, .. Encoding.ASCII.GetBytes($"{ChecksumLine}{Crc32C.Compute(json).ToString("x8", CultureInfo.InvariantCulture)}\n")];
    }

    /// <summary>Whether the library's version is the same but for its last number.</summary>
    internal bool IsOfThisCode => SameButLast(Code, CurrentCode);

    /// <exception cref="CheckpointException">It is damaged, or of a version that this library does not read.</exception>
    internal static CheckpointManifest Read(ICheckpointFile file, string path)
    {
        byte[] bytes = ReadAll(file, path);
        int end = bytes.Length - ChecksumLine.Length - 9;
        if (end <= 0 || Encoding.ASCII.GetString(bytes.AsSpan(end)) != $"{ChecksumLine}{Crc32C.Compute(bytes.AsSpan(0, end)).ToString("x8", CultureInfo.InvariantCulture)}\n")
            throw new CheckpointException($"{path}: its checksum does not fit its content: damaged or half written");
        try
        {
            int version = JsonDocument.Parse(bytes.AsMemory(0, end)).RootElement.GetProperty(nameof(Version)).GetInt32();
            if (version != CurrentVersion) throw new CheckpointException($"{path}: version {version} of the format, this library reads version {CurrentVersion}: resume with the library that wrote it, or begin anew in another folder") { IsOtherVersion = true };
            return JsonSerializer.Deserialize<CheckpointManifest>(bytes.AsSpan(0, end), s_json)!;
        }
        catch (Exception failure) when (failure is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
        {
            throw new CheckpointException($"{path}: not a manifest: {failure.Message}", failure);
        }
    }

    private static bool SameButLast(string code, string other) => code[..Math.Max(0, code.LastIndexOf('.'))] == other[..other.LastIndexOf('.')];

    private static byte[] ReadAll(ICheckpointFile file, string path)
    {
        if (file.ByteCount > LargestByteCount) throw new CheckpointException($"{path}: longer than any manifest; it is damaged");
        byte[] bytes = new byte[file.ByteCount];
        for (int done = 0, read; done < bytes.Length; done += read)
        {
            read = file.Read(bytes.AsSpan(done), done);
            if (read == 0) return bytes[..done];
        }
        return bytes;
    }
}
